"""What is wrong with a message, in one line for a person. Pure."""

from pydantic import ValidationError

_SHOWN = 3  # problems named; the rest are counted


def explained(error: ValidationError) -> str:
    """The first problems as `field: what is wrong`; the offending values stay out, they are in the preview."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    named = [f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['msg'].removeprefix('Value error, ')}" for p in problems]
    more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    return "; ".join(named[:_SHOWN]) + more
