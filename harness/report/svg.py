"""A figure as a part of a page: of its svg only what draws is kept, under names of its own; text that shows itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from harness.report.select import word

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
DRAWS = set("svg g defs path use rect circle ellipse line polyline polygon text tspan clipPath image".split())
DRAWS |= set("linearGradient radialGradient stop pattern mask marker symbol".split())
LOOKS = set("fill fill-opacity fill-rule stroke stroke-width stroke-opacity stroke-linecap stroke-linejoin".split())
LOOKS |= set("stroke-miterlimit stroke-dasharray stroke-dashoffset opacity clip-path clip-rule mask color".split())
LOOKS |= set("font font-family font-size font-style font-weight font-variant font-stretch text-anchor".split())
LOOKS |= set("dominant-baseline stop-color stop-opacity visibility display image-rendering".split())
PLACES = set("d x y x1 y1 x2 y2 dx dy cx cy r rx ry fx fy width height points transform viewBox offset".split())
PLACES |= set("preserveAspectRatio gradientUnits gradientTransform patternUnits patternTransform".split())
PLACES |= set("patternContentUnits clipPathUnits maskUnits markerWidth markerHeight refX refY orient rotate".split())
PRESENTED = LOOKS | PLACES
VALUE = re.compile(r"[\w\s#.,%()'\"+-]*")  # of a look: numbers, colours, names of fonts, transforms
STRANGE = re.compile(r"[^A-Za-z0-9_.:-]")  # in an id
INNER = re.compile(r"url\(\s*[\"']?#([A-Za-z0-9_.:-]+)[\"']?\s*\)")
PIXELS = re.compile(r"data:image/png;base64,[\w+/=\s]+")
DEEPEST = 60  # groups within groups of a figure


@dataclass(frozen=True)
class Picture:
    """A figure of the page."""

    name: str  # recall-state-1-phase-map
    title: str
    svg: str
    alternative: str  # the same in words
    study: str = ""  # whose figure it is, if any study's


def seen(value: Any) -> Any:
    r"""A value as text in which control characters, also those that turn the direction of writing, are to be seen.

    >>> seen("\x1b[31mred")
    '␛[31mred'
    """
    if isinstance(value, Markup):
        return value
    told = value if isinstance(value, str) else word(value)
    return UNSEEN.sub(lambda found: chr(0x2400 + ord(found[0])) if found[0] < " " else "\ufffd", told)


def inline(picture: Picture, prefix: str) -> Markup:
    """The picture's svg as part of a page: ids and what refers to them begin with `prefix`; only what draws is kept.

    Scripts, handlers, links, foreign addresses and styles of the whole document are gone; a grid of pixels may stay.
    Its title and its text alternative stand in it. Raises ValueError for what is no svg.
    """
    try:
        if "<!ENTITY" in picture.svg:
            raise ValueError("it defines entities")
        root = ElementTree.fromstring(seen(picture.svg))
        if _local(root.tag) != "svg":
            raise ValueError(f"its root is {_local(root.tag)}")
        drawn = "".join(part for child in root for part in _drawn(child, prefix, 0))
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"the picture {seen(picture.name)} is no svg: {error}") from error
    ids = {tag: f"{tag}-{prefix}" for tag in ("title", "desc")}  # which no id of the svg can be
    texts = {"title": picture.title, "desc": picture.alternative}
    told = "".join(f'<{tag} id="{ids[tag]}">{escape(seen(text))}</{tag}>' for tag, text in texts.items())
    known = f'role="img" aria-labelledby="{ids["title"]}" aria-describedby="{ids["desc"]}"'
    return Markup(f"<svg{_kept(root, prefix)} {known}>{told}{drawn}</svg>")


def _drawn(element: ElementTree.Element, prefix: str, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} groups lie within one another")
    tag = _local(element.tag)
    if tag not in DRAWS:
        return
    kept = _kept(element, prefix)
    inside = [part for child in element for part in (*_drawn(child, prefix, depth + 1), _letters(child.tail, tag))]
    content = "".join([_letters(element.text, tag), *inside])
    yield f"<{tag}{kept}>{content}</{tag}>" if content else f"<{tag}{kept}/>"


def _kept(element: ElementTree.Element, prefix: str) -> str:
    return "".join(f' {name}="{escape(value)}"' for name, value in _attributes(element, prefix))


def _letters(text: str | None, tag: str) -> str:
    """What is written in an element; between others there are but spaces."""
    return escape(seen(text or ""), quote=False) if tag in ("text", "tspan") else ""


def _attributes(element: ElementTree.Element, prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in element.attrib.items():
        name = _local(name)
        if name == "id":
            yield name, prefix + STRANGE.sub("_", value)
        elif name == "href" and value.startswith("#"):
            yield name, f"#{prefix}{STRANGE.sub('_', value[1:])}"
        elif name == "href" and _local(element.tag) == "image" and PIXELS.fullmatch(value):
            yield name, value
        elif name == "style":
            pairs = (part.partition(":") for part in value.split(";"))
            looks = ((look.strip(), _look(set_to.strip(), prefix)) for look, _, set_to in pairs)
            if said := "; ".join(f"{look}: {set_to}" for look, set_to in looks if look in LOOKS and set_to):
                yield name, said
        elif name in PRESENTED and (kept := _look(value, prefix)):
            yield name, kept


@lru_cache(maxsize=4096)  # the same few are said of thousands of marks
def _look(value: str, prefix: str) -> str:
    """A value that refers to nothing beyond the figure; empty for any other."""
    kept = INNER.sub(rf"url(#{prefix}\1)", value)
    beside = INNER.sub("", value)
    return kept if VALUE.fullmatch(beside) and "url" not in beside.lower() else ""


def _local(name: Any) -> str:
    return name.rpartition("}")[2] if isinstance(name, str) else ""  # a comment has no name
