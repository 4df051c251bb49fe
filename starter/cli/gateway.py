"""`gateway` and its keys: the door for programs that speak OpenAI's protocol or AG-UI."""

import asyncio
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from starter.cli import output
from starter.cli.app import SERVERS, app, connected, verb
from starter.cli.arguments import AsJson
from starter.cli.exits import CommandError, ExitCode
from starter.program import COMMAND

if TYPE_CHECKING:
    from starter.gateway.keys import KeyFile
    from starter.gateway.settings import GatewaySettings

KEYS_VARIABLE = "SESSIONS_GATEWAY_KEYS"
HINT = "pip install 'durable-sessions[gateway]'"
PAGE_HINT = "pip install 'durable-sessions[web]'"

LEAVE_SECONDS = 1.0
"""For what is under way when a person ends the page by Ctrl-C: nothing there needs more."""

Host = Annotated[str | None, typer.Option(metavar="ADDRESS", help="Where it listens; 127.0.0.1.", show_default=False)]
Port = Annotated[
    int | None, typer.Option(metavar="PORT", min=0, max=65_535, help="8243; 0 takes a free one.", show_default=False)
]
Keys = Annotated[
    Path | None,
    typer.Option("--keys", metavar="FILE", help="The file of keys, or SESSIONS_GATEWAY_KEYS.", show_default=False),
]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="What the key is called, in the log too.", show_default=False)
]
Owners = Annotated[
    list[str], typer.Option("--owner", metavar="OWNER", help="Whose sessions it opens; `*` for all. May be repeated.")
]

_Found = TypeVar("_Found")

group = typer.Typer()
keys = typer.Typer(no_args_is_help=True, help="Make, list and take away the keys of callers.")
app.add_typer(group, name="gateway", rich_help_panel=SERVERS)
group.add_typer(keys, name="keys")


@group.callback(invoke_without_command=True, epilog=f"Example:\n  {COMMAND} gateway --port 8243")
def gateway(context: typer.Context, *, host: Host = None, port: Port = None, key_file: Keys = None) -> None:
    """Serve sessions by OpenAI's protocol and AG-UI, until Ctrl-C.

    Any number of gateways may run; each answers for every other. docs/gateway.md has its settings.
    """
    if context.invoked_subcommand is None:
        asyncio.run(_serve(_settings(host=host, port=port, keys=key_file)))


async def _serve(settings: "GatewaySettings") -> None:
    try:
        from starter.gateway.serving import serve  # noqa: PLC0415 (an extra: its absence gets a hint)
    except ImportError as error:
        raise CommandError(ExitCode.USAGE, f"the gateway needs {error.name}: {HINT}") from None
    from starter.gateway.keys import KeysError  # noqa: PLC0415 (what is not needed for help is imported late)
    from starter.gateway.settings import GatewaySettingsError  # noqa: PLC0415 (the same)
    from starter.serving.logs import set_up  # noqa: PLC0415 (imports temporalio)

    try:
        settings.check_address()
        sessions = await connected()
        set_up(settings.log_format, "info")
        await serve(sessions, settings)
    except ImportError as error:
        raise CommandError(ExitCode.USAGE, f"the page needs {error.name}: {PAGE_HINT}") from None
    except (GatewaySettingsError, KeysError) as error:
        raise CommandError(ExitCode.USAGE, str(error)) from None


async def chat_on_a_page(session: str | None, owner: str | None, *, browse: bool) -> None:
    """Serve the page on a free port of loopback until Ctrl-C, and open it in the browser where `browse` says so."""
    try:
        from starter.gateway.page.app import address  # noqa: PLC0415 (an extra: its absence gets a hint)
        from starter.gateway.serving import serve  # noqa: PLC0415 (the same)
    except ImportError as error:
        raise CommandError(ExitCode.USAGE, f"the page needs {error.name}: {PAGE_HINT}") from None
    from starter.gateway.settings import GatewaySettings  # noqa: PLC0415 (what help does without is imported late)
    from starter.serving.logs import set_up  # noqa: PLC0415 (imports temporalio)

    def show(served_at: str) -> None:
        url = served_at + address(session or "", owner or "")
        output.show(url)
        if browse:
            webbrowser.open(url)

    sessions = await connected()
    set_up("text", "warning")
    await serve(sessions, GatewaySettings(port=0, page=True, grace=LEAVE_SECONDS), show)


@verb("gateway keys add web --owner ada --keys keys.json", SERVERS, keys)
async def add(name: Name, *, owner: Owners, key_file: Keys = None) -> None:
    """Make a key and print it: it is shown this once, the file has only its hash."""
    secret = _of_file(lambda file: file.add(name, owner), key_file)
    output.note(f"the key {name!r}, which nothing shows again")
    output.show(secret)


@verb("gateway keys list --keys keys.json", SERVERS, keys)
async def list(*, key_file: Keys = None, as_json: AsJson = False) -> None:  # noqa: A001 (the command's name)
    """Show the keys, by name and owners."""
    found = _of_file(lambda file: file.keys(), key_file)
    if as_json:
        output.show_json([key.model_dump(mode="json", exclude={"sha256"}) for key in found])
    else:
        rows = [(key.name, ", ".join(key.owners), key.created_at) for key in found]
        output.show(output.Table(("name", "owners", "created_at"), rows))


@verb("gateway keys remove web --keys keys.json", SERVERS, keys)
async def remove(name: Name, *, key_file: Keys = None) -> None:
    """Take a key away; gateways refuse it from the next request on."""
    _of_file(lambda file: file.remove(name), key_file)
    output.note(f"the key {name!r} opens nothing any more")


def _of_file(work: Callable[["KeyFile"], _Found], path: Path | None) -> _Found:
    from starter.gateway.keys import KeyFile, KeysError  # noqa: PLC0415 (as above)

    named = _settings(keys=path).keys
    if named is None:
        raise CommandError(ExitCode.USAGE, f"which file of keys? --keys or {KEYS_VARIABLE} names it")
    try:
        return work(KeyFile(named))
    except KeysError as error:
        raise CommandError(ExitCode.REFUSED, str(error)) from None


def _settings(**given: object) -> "GatewaySettings":
    from starter.gateway.settings import GatewaySettings, GatewaySettingsError  # noqa: PLC0415 (as above)

    try:
        return GatewaySettings.from_environment(None, **given)
    except GatewaySettingsError as error:
        raise CommandError(ExitCode.USAGE, str(error)) from None
