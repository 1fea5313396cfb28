"""`forebay mirror`: the hubs' own protocols, answered from the store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forebay.cli.app import Command
from forebay.cli.paths import PathType
from forebay.cli.session import Session, say

if TYPE_CHECKING:
    from forebay.mirror import MirrorOptions


@click.command(cls=Command)
@click.option("--offline", is_flag=True, help="Never ask upstream: answer from the store alone.")
@click.option(
    "--upstream",
    multiple=True,
    metavar="URL",
    help="Hugging Face's address, or that of a mirror of it; the next is asked where one fails. May be repeated.",
)
@click.option("--ms-upstream", multiple=True, metavar="URL", help="Likewise for ModelScope.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=8970, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--token", help="Asked for from everybody (else $FOREBAY_MIRROR_TOKEN).")
@click.option(
    "--allow", multiple=True, metavar="NETWORK", help="Who may ask: 10.0.0.0/8, or one address. May be repeated."
)
@click.option("--tls-cert", type=PathType(exists=True), metavar="FILE", help="Certificate (PEM): speak HTTPS.")
@click.option("--tls-key", type=PathType(exists=True), metavar="FILE", help="Its key (PEM).")
@click.option(
    "--fresh-seconds", type=click.FloatRange(min=0), help="How long a branch is not asked for again.  [default: 60]"
)
@click.option(
    "--serve-restricted",
    is_flag=True,
    help="Give gated and private repositories to all who may ask the mirror, without asking the hub whose they are.",
)
@click.option("--log", "log_requests", is_flag=True, help="Write one line a request.")
@click.option("--ready-file", type=PathType(), metavar="FILE", help="Write the address there once it answers.")
@click.option(
    "--json", "as_json", is_flag=True, help="The address, and the counts in the end, each as one line of JSON."
)
@click.option("--private", type=click.Choice(["user", "cell"]), hidden=True, help="It serves one user: see exec.")
@click.option("--prepared-into", type=PathType(), hidden=True, help="See `forebay exec --prepared`.")
@click.option("--prepared-kept", type=PathType(), hidden=True, help="What that cache stands in for.")
@click.option("--prepared-later", is_flag=True, hidden=True, help="Do not let that program wait.")
@click.option("--listen-fd", type=int, hidden=True, help="Use this listening socket.")
@click.option("--stop-on-eof", is_flag=True, hidden=True, help="End when standard input does.")
@click.pass_obj
def mirror(
    session: Session,
    upstream: tuple[str, ...],
    ms_upstream: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    as_json: bool,
    log_requests: bool,
    **given: Any,
) -> None:
    """Answer Hugging Face's and ModelScope's clients from the store, and ask the hub for what it has not.

    Programs need no change: they are told the mirror's address by their environment, in the lines that are printed.
    What the hub does not answer, because it is down or says that it is busy, is answered from the store.
    """
    from forebay.config import environment
    from forebay.mirror import MirrorOptions, Tls, run_mirror

    if given["token"] == "":  # --token "$SECRET", say, where that is not set
        raise click.UsageError("--token is empty; leave it out for a mirror that asks for none")
    given["token"] = given["token"] or environment().get("FOREBAY_MIRROR_TOKEN")
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    options = MirrorOptions(
        hf_upstream=upstream,
        ms_upstream=ms_upstream,
        tls=Tls(tls_cert, tls_key) if tls_cert and tls_key else None,
        tell=_tell if log_requests else None,
        warn=_warn,
        **_with_defaults(given),
    )
    with session.store() as store:
        run_mirror(store, options, ready=lambda address: _ready(address, options, as_json), done=_done(as_json))
    _end_at_once()


def _end_at_once() -> None:
    """End without taking the interpreter apart: all is closed.

    The server's threads, which may still tell of an answer that was cut, must not find it half gone; and it would take
    a tenth of a second, for which `exec` waits.
    """
    import os

    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _with_defaults(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _ready(address: str, options: MirrorOptions, as_json: bool) -> None:
    import json

    if as_json:
        say(json.dumps({"endpoint": address}))
        return
    from forebay.config import environment
    from forebay.mirror import environment as shells

    shown = _reachable(address)
    told = shells.variables(shells.Wanted(shown, token=options.token), environment())
    say(f"# forebay mirror at {shown}; in the shell of the program that shall ask it:")
    say(shells.as_shell(told, "sh"))
    sys.stdout.flush()


def _reachable(address: str) -> str:
    """Return an address that others can ask: by the machine's name, where the mirror listens at all that it has."""
    import socket

    name = socket.gethostname()
    return address.replace("://0.0.0.0:", f"://{name}:").replace("://[::]:", f"://{name}:")


def _done(as_json: bool) -> Any:
    import json

    def tell(counts: dict[str, Any]) -> None:
        if as_json:
            say(json.dumps({"counts": counts}))
        else:
            _warn(counted(counts))

    return tell


def counted(counts: dict[str, Any]) -> str:
    """Return one line about what a mirror has done."""
    from forebay import text

    held, fetched = counts.get("files", 0), counts.get("files_fetched", 0)
    parts = [
        f"{text.counted(held, 'file')} from the store",
        f"{text.count(fetched)} read through",
        f"{text.size(counts.get('bytes_sent', 0))} sent",
        f"{text.counted(counts.get('upstream_requests', 0), 'request')} upstream",
    ]
    loads = counts.get("prepared", 0)
    parts += [f"{text.counted(loads, 'load')} of prepared datasets"] if loads else []
    saved = counts.get("seconds_saved", 0.0)
    return "; ".join([", ".join(parts), *([f"about {text.seconds(saved)} of fetching saved"] if saved >= 0.1 else [])])


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _warn(line: str) -> None:
    click.echo(f"forebay mirror: {line}", err=True)
