"""Pages and parts of pages, made of templates."""

from collections.abc import Mapping
from types import MappingProxyType

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from api.dashboard import formatting
from api.dashboard.assets import address

_HEADERS = {
    # Nothing comes from another host, and no script stands in a page.
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

_templates = Environment(
    loader=PackageLoader("api.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals["asset"] = address
_templates.filters |= formatting.FILTERS


def page(
    request: Request,
    template: str,
    shown: Mapping[str, object] = MappingProxyType({}),
    status: int = 200,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> HTMLResponse:
    """The page, or the part of one, that this template makes of what is `shown`.

    Templates know who has signed in as `principal` (None: nobody, or it is not known now), whether somebody has, the
    session's token as `csrf_token`, and the path.
    """
    who = {
        "has_session": hasattr(request.state, "csrf_token"),
        "principal": getattr(request.state, "principal", None),
        "csrf_token": getattr(request.state, "csrf_token", ""),
        "path": request.url.path,
    }
    text = _templates.get_template(template).render({**who, **shown})
    return HTMLResponse(text, status, {**_HEADERS, **headers})
