"""Reading collectives from a compiled program's text."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from dynamicid_jax.planning.collectives import Collective, by_kind, collectives, shape_bytes


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))


def _found(fn, mesh: Mesh, *args) -> list[Collective]:
    shapes = [
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, PartitionSpec(*spec)))
        for shape, spec in args
    ]
    return collectives(jax.jit(fn).lower(*shapes).compile().as_text(), mesh.size)


def test_kinds_sizes_and_groups(mesh: Mesh) -> None:
    whole = NamedSharding(mesh, PartitionSpec())
    total = _found(lambda x: x.sum(0), mesh, ((16, 32), ("data",)))
    assert total == [Collective("all-reduce", 4 * 32, 8)]
    gathered = _found(lambda x: lax.with_sharding_constraint(x, whole), mesh, ((16, 32), ("data",)))
    assert gathered == [Collective("all-gather", 4 * 2 * 32, 8)]
    assert _found(lambda x: x * 2, mesh, ((16, 32), ("data",))) == []


def test_collectives_in_a_loop_count_every_round(mesh: Mesh) -> None:
    def loop(w, x):
        def body(carry, _):
            return carry + jnp.mean(x @ carry, 0), None  # a sum over devices in every round

        return lax.scan(body, w, None, length=7)[0]

    found = _found(loop, mesh, ((32,), ()), ((16, 32), ("data",)))
    assert sum(one.times for one in found if one.kind == "all-reduce") == 7


def test_what_is_sent() -> None:
    assert Collective("all-reduce", 800, 8).sent == 2 * 700
    assert Collective("all-gather", 100, 8, times=3).sent == 3 * 700
    assert Collective("reduce-scatter", 800, 8).sent == 700
    assert Collective("collective-permute", 800, 2).sent == 800
    rows = by_kind([Collective("all-reduce", 800, 8), Collective("all-reduce", 8, 8, times=2)])
    assert rows == {"all-reduce": {"count": 3, "bytes": 816, "sent": 1400 + 28}}


@pytest.mark.parametrize(
    ("shape", "nbytes"),
    [
        ("f32[]", 4),
        ("bf16[2,3]{1,0:T(8,128)(2,1)S(1)}", 12),
        ("(f32[512,512]{1,0:T(8,128)}, /*index=1*/pred[3], s32[0])", 4 * 512**2 + 3),
        ("u4[8]", 4),
        ("c64[2]", 16),
        ("token[]", 0),
        ("f8e4m3fn[10]", 10),
    ],
)
def test_shapes(shape: str, nbytes: int) -> None:
    assert shape_bytes(shape) == nbytes


# As TPU programs write it: asynchronous halves, groups by mesh axes, a loop without a noted number of rounds.
TPU_TEXT = """
%cond.1 (p: (s32[], f32[4,8])) -> pred[] {
  %p = (s32[]{:T(128)}, f32[4,8]{1,0:T(8,128)}) parameter(0)
  %five = s32[]{:T(128)} constant(5)
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  ROOT %lt = pred[]{:T(512)} compare(%i, %five), direction=LT
}

%body.1 (p: (s32[], f32[4,8])) -> (s32[], f32[4,8]) {
  %p = (s32[]{:T(128)}, f32[4,8]{1,0:T(8,128)}) parameter(0)
  %x = f32[4,8]{1,0:T(8,128)} get-tuple-element(%p), index=1
  %ar = f32[4,8]{1,0:T(8,128)S(1)} all-reduce(%x), replica_groups=mesh['a'=2,'b'=4] {'a'}, to_apply=%add
  ROOT %out = (s32[]{:T(128)}, f32[4,8]{1,0:T(8,128)}) tuple(%i, %ar)
}

ENTRY %main (a: f32[4,8]) -> f32[4,8] {
  %a = f32[4,8]{1,0:T(8,128)} parameter(0)
  %t = (s32[]{:T(128)}, f32[4,8]{1,0:T(8,128)}) tuple(%zero, %a)
  %w = (s32[]{:T(128)}, f32[4,8]{1,0:T(8,128)}) while(%t), condition=%cond.1, body=%body.1
  %g = (f32[4,8]{1,0:T(8,128)}, f32[32,8]{1,0:T(8,128)}) all-gather-start(%a), replica_groups=[1,8]<=[8], dimensions={0}
  %d = f32[32,8]{1,0:T(8,128)} all-gather-done(%g)
  ROOT %r = f32[4,8]{1,0:T(8,128)} reduce-scatter(%d), replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add
}
"""


def test_the_text_of_a_tpu_program() -> None:
    found = collectives(TPU_TEXT, 8)
    assert sorted(found, key=lambda one: one.kind) == [
        Collective("all-gather", 128, 8),
        Collective("all-reduce", 128, 2, times=5),
        Collective("reduce-scatter", 1024, 4),
    ]
    assert np.isclose(sum(one.sent for one in found), 7 * 128 + 5 * 128 + 768)
