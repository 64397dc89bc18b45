"""The mini suite's pictures; per person 20, all on people whom nobody trained on.

base             no people given: captions of one person, and of two (even numbers) or three (odd ones)
one              a reference photo, which is another picture of the person with the caption's motion
context          the same at identity scale 0 and the same noise
two, three       the same with a box for everybody
free             the people, captions and noise of `two` without boxes: every query sees both
imr_plain        a photo, a prompt that says nothing of expression and pose
imr_expression   the same, the face edited in words to another expression
imr_pose         the same, edited to another pose by its words and a photo of somebody else in it
imr_pose_words   the same, by the words alone
said_expression  no edit; the prompt says the other expression (and the photo's pose)
said_pose        no edit; the prompt says the other pose (and the photo's expression)
both_expression, both_pose   the prompts of said_*, with the edits in words of imr_*
edits            two people with boxes, each edited in words to an expression of their own
edits_said       the same, and the prompt says them
mix_1, mix_half, mix_0   one person mixed of two, by weights (1, 0), (1/2, 1/2), (0, 1)
"""

from dataclasses import replace

from dynamicid_jax.evaluation.contents import Content, head_boxes, random_content
from dynamicid_jax.evaluation.shots import (
    Series,
    Shot,
    Subject,
    dice_of,
    edited,
    group,
    other,
    photo_of,
    plain_subject,
)
from dynamicid_jax.world.motion import EXPRESSIONS, POSES

_WHOLE = (0.0, 0.0, 1.0, 1.0)


def base(number: int) -> list[Shot]:
    """Without people given; variant 1 shows several."""
    dice = dice_of("base", number)
    counts = (1, 2 + number % 2)
    contents = [random_content(group(number, count), dice) for count in counts]
    return [Shot("base", number, one, variant=i) for i, one in enumerate(contents)]


def one(number: int) -> list[Shot]:
    """One person, without a box."""
    dice = dice_of("one", number)
    shows = random_content([number], dice)
    subject = plain_subject(photo_of(shows, 0, dice))
    return [Shot("one", number, shows, (subject,), keep_gates=True)]


def context(number: int) -> list[Shot]:
    """`one` with the face branch off."""
    (shot,) = one(number)
    return [replace(shot, kind="context", identity_scale=0.0, keep_gates=False, has_truth=False)]


def _several(kind: str, number: int, count: int) -> Shot:
    dice = dice_of(kind, number)
    shows = random_content(group(number, count), dice)
    subjects = [
        plain_subject(photo_of(shows, place, dice), box)
        for place, box in enumerate(head_boxes(count))
    ]
    return Shot(kind, number, shows, tuple(subjects))


def two(number: int) -> list[Shot]:
    """Two people with boxes."""
    return [_several("two", number, 2)]


def three(number: int) -> list[Shot]:
    """Three people with boxes."""
    return [_several("three", number, 3)]


def free(number: int) -> list[Shot]:
    """`two` without boxes.

    The pipeline gives people without boxes a strip each; boxes of the whole picture at layout strength 0 are exactly
    the layout without boxes: every query sees both people, and the gate stays as it is.
    """
    (shot,) = two(number)
    subjects = tuple(replace(one, box=_WHOLE) for one in shot.subjects)
    return [replace(shot, kind="free", subjects=subjects, layout_strength=0.0, has_truth=False)]


def imr(number: int) -> list[Shot]:
    """A photo, and the same person edited in expression or pose, told in the prompt, or both."""
    dice = dice_of("imr", number)
    source = random_content([number], dice)
    photo = photo_of(source, 0, dice)
    expression = other(len(EXPRESSIONS), source.expressions, dice)
    pose = other(len(POSES), source.poses, dice)
    smiling = replace(source, expressions=(expression,))
    turned = replace(source, poses=(pose,))
    model = random_content(
        group(number, 2)[1:], dice, expressions=source.expressions, poses=turned.poses
    )
    aims = [replace(photo, expressions=(expression,)), replace(photo, poses=(pose,))]
    plain = plain_subject(photo)
    grimace, by_words = edited(photo, expression=expression), edited(photo, turn=pose)
    made: list[tuple[str, Content, Subject, Content | None]] = [
        ("imr_plain", source, plain, None),
        ("imr_expression", smiling, grimace, aims[0]),
        ("imr_pose", turned, replace(by_words, pose=model), aims[1]),
        ("imr_pose_words", turned, by_words, aims[1]),
    ]
    quiet = [
        Shot(kind, number, shows, (subject,), says_motion=False, aim=aim)
        for kind, shows, subject, aim in made
    ]
    said = [
        ("said_expression", smiling, plain),
        ("said_pose", turned, plain),
        ("both_expression", smiling, grimace),
        ("both_pose", turned, by_words),
    ]
    return [*quiet, *(Shot(kind, number, shows, (subject,)) for kind, shows, subject in said)]


def edits(number: int) -> list[Shot]:
    """Two people with boxes and an expression of their own each, different from their photos' and each other's.

    Once the prompt says nothing of expressions and poses, once it says them.
    """
    dice = dice_of("edits", number)
    source = random_content(group(number, 2), dice)
    photos = [photo_of(source, place, dice) for place in range(2)]
    left = other(len(EXPRESSIONS), source.expressions[:1], dice)
    right = other(len(EXPRESSIONS), [source.expressions[1], left], dice)
    subjects = tuple(
        edited(photo, expression=expression, box=box)
        for photo, expression, box in zip(photos, (left, right), head_boxes(2), strict=True)
    )
    shows = replace(source, expressions=(left, right))
    return [
        Shot("edits", number, shows, subjects, says_motion=False),
        Shot("edits_said", number, shows, subjects),
    ]


def mix(number: int) -> list[Shot]:
    """One person, mixed of two who do the same in their photos."""
    dice = dice_of("mix", number)
    first, second = group(number, 2)
    shows = random_content([first], dice)
    photo = photo_of(shows, 0, dice)
    partner = photo_of(replace(shows, people=(second,)), 0, dice)
    halves = Subject(((photo, 0.5), (partner, 0.5)))
    return [
        Shot("mix_1", number, shows, (plain_subject(photo),)),
        Shot("mix_half", number, shows, (halves,), has_truth=False),
        Shot("mix_0", number, replace(shows, people=(second,)), (plain_subject(partner),)),
    ]


SERIES: dict[str, Series] = {
    "base": base,
    "one": one,
    "context": context,
    "two": two,
    "three": three,
    "free": free,
    "imr": imr,
    "edits": edits,
    "mix": mix,
}
