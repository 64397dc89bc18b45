"""A picture's recipe as what a visitor can run: one command, or some lines of Python.

Photos are named by their files' names; whoever runs it puts the folder before them. The package's own people stand in
dynamicid_jax/assets/people.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from dynamicid_jax.packaged import photos as packaged_photos

PEOPLE = PurePosixPath("dynamicid_jax/assets/people")
OPTIONS = {  # of a recipe: sample.py's option
    "negative_prompt": "--negative_prompt",
    "steps": "--steps",
    "sampler": "--sampler",
    "guidance_scale": "--guidance",
    "seed": "--seed",
    "identity_scale": "--identity_scale",
    "layout_strength": "--layout_strength",
    "layout_steps": "--layout_steps",
}


def as_command(recipe: Mapping[str, Any], model: str, names: Sequence[Sequence[str]]) -> str:
    """The line for a shell; empty for what sample.py cannot do: mixing people.

    Args:
        recipe: of the picture.
        model: as --model names it.
        names: of every person's photos, the pose photo last.
    """
    if any("mix" in person for person in recipe["people"]):
        return ""
    words = ["dynamicid", "sample", "--model", model]
    for person, files in zip(recipe["people"], names, strict=True):
        photos, pose = _split(person, files)
        words += ["--person", *photos]
        words += ["--pose", pose] if pose else []
        words += ["--face", person["face"]] if person["face"] else []
        words += ["--box", ",".join(map(str, person["box"]))] if person["box"] else []
        words += ["--strength", str(person["strength"])] if person["strength"] != 1 else []
    words += ["--prompt", recipe["prompt"], "--size", f"{recipe['width']}x{recipe['height']}"]
    for key, option in OPTIONS.items():
        if recipe[key] != "":
            words += [option, str(recipe[key])]
    return shlex.join([*words, "--out", "out.png"])


def as_python(recipe: Mapping[str, Any], model: str, names: Sequence[Sequence[str]]) -> str:
    """Lines of Python that make the same picture; arguments as for `as_command`."""
    lines = ["from dynamicid_jax import DynamicIDPipeline", ""]
    lines += [f"pipe = DynamicIDPipeline.from_pretrained({model!r})", "people = ["]
    for person, files in zip(recipe["people"], names, strict=True):
        lines.append(f"    {_person(person, files)},")
    lines += ["]", "out = pipe(", f"    {recipe['prompt']!r},", "    people,"]
    for key in ("width", "height", *OPTIONS):
        lines.append(f"    {key}={recipe[key]!r},")
    return "\n".join([*lines, ")", 'out.images[0].save("out.png")', ""])


def _person(person: Mapping[str, Any], files: Sequence[str]) -> str:
    """One person as an expression; `files` are those of all parts of a mix, one after the other."""
    where = _arguments({"box": person["box"], "strength": person["strength"]})
    if "mix" not in person:
        photos, pose = _split(person, files)
        said = _arguments({"face": person["face"], "pose": pose})
        return f"pipe.person({photos!r}{said}{where})"
    parts, rest = [], list(files)
    for part in person["mix"]:
        count = len(part["references"])
        own, rest = rest[:count], rest[count:]
        last = files[-1:] if part["pose"] else []
        parts.append(
            f"({_person({**part, 'box': None, 'strength': 1}, [*own, *last])}, {part['weight']})"
        )
    return f"pipe.mix([{', '.join(parts)}]{where})"


def _arguments(values: Mapping[str, Any]) -> str:
    """Keyword arguments that are not the default."""
    return "".join(
        f", {name}={value!r}" for name, value in values.items() if value not in (None, 1)
    )


def _split(person: Mapping[str, Any], files: Sequence[str]) -> tuple[list[str], str | None]:
    """The person's photos, and the pose photo's."""
    paths = [_file(name) for name in files]
    return (paths[:-1], paths[-1]) if person["pose"] else (paths, None)


def _file(name: str) -> str:
    """A photo's file as it is written in a command: never more than a name, unless it is the package's own."""
    if name in packaged_photos():
        return str(PEOPLE / f"{name}.png")
    return PurePosixPath(name.replace("\\", "/")).name or "photo"
