"""Runs Schemathesis against the panel behind a socket, from here to the last request in one process.

Requests go the way nginx sends them: over the panel's Unix socket, each naming a visitor that was not seen before. The panel
counts failed logins by address; with one address for all, nearly every answer would be "too many attempts".
"""

import os
import socket
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))


def copy(source, target):
    """Passes bytes on until there are no more."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # One side went away: so does the other.
        for end in (source, target):
            end.close()


def serve(listener, panel):
    """Joins every connection with one of its own to the panel's socket."""
    while True:
        client, _ = listener.accept()
        gateway = socket.socket(socket.AF_UNIX)
        gateway.connect(panel)
        for pair in ((client, gateway), (gateway, client)):
            threading.Thread(target=copy, args=pair, daemon=True).start()


def main():
    panel, arguments = sys.argv[1], sys.argv[2:]
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener, panel), daemon=True).start()
    base = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"

    os.environ["SCHEMATHESIS_HOOKS"] = "hooks"
    sys.path.insert(0, HERE)
    from schemathesis.cli import schemathesis

    import hooks

    config = os.path.join(HERE, "schemathesis.toml")
    command = ["--config-file", config, "run", f"{base}/openapi.json", "--url", base, *arguments]
    try:
        schemathesis(command, prog_name="schemathesis")
    except SystemExit as end:
        failed = tally(hooks.COUNTED)
        sys.exit(end.code or failed)


# What root's random requests don't get into.
BEYOND_CHANCE = {
    "events.listen": "a plain request is no WebSocket handshake; the server's own tests make one",
    "session.login": "nobody guesses a password",
    "sessions.revoke": "nobody guesses an id",
    "users.revoke-session": "nobody guesses an id",
}
# Said by what lies behind all checks of the request itself: it collides with what is there, or that has changed.
REACHED = {409, 412}


def tally(counted):
    """Prints what was answered. Root's requests, which nothing forbids, must have reached what every operation is about."""
    for operation, statuses in sorted(counted.items()):
        print(f"{operation:22} " + "  ".join(f"{status}: {count}" for status, count in sorted(statuses.items())))
    total = sum(sum(statuses.values()) for statuses in counted.values())
    print(f"{total} requests for {len(counted)} operations")
    if os.environ.get("WCP360_FUZZ_AS") != "root":
        return 0
    reached = {name for name, statuses in counted.items() if min(statuses) < 300 or REACHED & set(statuses)}
    dead = sorted(set(counted) - reached - set(BEYOND_CHANCE))
    if dead:
        print(f"never reached: {', '.join(dead)}")
    return 1 if dead else 0


if __name__ == "__main__":
    main()
