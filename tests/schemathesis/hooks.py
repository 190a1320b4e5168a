"""What Schemathesis is told about this panel, and what it checks beyond the document."""

import itertools
import json
import os
import re
import time
import zlib
from collections import Counter

import schemathesis

# Objects that are there, by name of the path's parameter. Without them nearly every path would name something missing.
THERE = json.loads(os.environ["WCP360_FUZZ_OBJECTS"])
# Tokens and logins that this run and the next ones need: what is learned from lists is not to be turned against them.
KEPT = set(json.loads(os.environ["WCP360_FUZZ_KEPT"]))
# Another run on the same host has other visitors.
VISITORS = itertools.count(int(time.time()) << 12)
TURNED = os.environ["WCP360_FUZZ_TURNED"]
UUID = re.compile("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
RESELLERS = {"users.limits", "users.set-limits", "users.suspend", "users.unsuspend", "users.usage"}
# Answers by operation and status.
COUNTED = {}

# Requests that chance would hardly find: several fields have to fit each other, or what is there.
EXAMPLES = {
    "packages.update": {"name": THERE["package"][0], "description": "an example"},
    "schedules.create": {"account": THERE["account"][0], "change": {"operation": "accounts.unsuspend"}, "cron": "0 3 * * 1"},
    "users.create": {"username": f"ex-{THERE['account'][0]}", "role": "reseller", "password": "the password of an example"},
}

# What no schema can say: fields whose value may be refused although the document allows it, each with the reason. A field that
# is refused and is not here is a document that promises too much.
BEYOND_SCHEMAS = {
    ("accounts.create", "username"): "names of the system are reserved",
    ("accounts.create", "primary_domain"): "nobody can own a public suffix or the panel's own name; IDNA is no pattern",
    ("accounts.create", "package"): "the package must be there",
    ("accounts.create", "owner"): "it must be a reseller that one may give it to, with room for one more",
    ("accounts.create", "contact_email"): "the domain in it follows IDNA, which is no pattern",
    ("accounts.set-owner", "owner"): "it must be a reseller or an administrator, with room for one more",
    ("accounts.clone", "username"): "names of the system are reserved",
    ("accounts.clone", "primary_domain"): "as in accounts.create",
    ("accounts.clone", "contact_email"): "as in accounts.create",
    ("accounts.clone", "password"): "what everybody guesses first is refused",
    ("accounts.clone", "owner"): "as in accounts.create",
    ("accounts.clone", "domains"): "they must be the account's, and what they become as in accounts.create",
    ("domains.add", "domain"): "as primary_domain, and within the package's limits",
    ("domains.add", "kind"): "a subdomain lies under a domain of the account",
    ("domains.add", "target"): "an alias shows a site of the account, and nothing else has a target",
    ("domains.add", "document_root"): "folders that are never served; an alias has none",
    ("bulk.start", "package"): "only with the action change_package",
    ("bulk.start", "keep_excess"): "as above",
    ("bulk.start", "accounts"): "either names or a filter",
    ("bulk.start", "reason"): "no control characters",
    ("packages.import", "schema_version"): "only versions that this release reads",
    ("packages.import", "packages"): "as in packages.create, and no name twice",
    ("packages.create", "description"): "no control characters",
    ("packages.create", "extends"): "a package that is there, and not itself",
    ("packages.update", "extends"): "as above, and none that extends this one",
    ("packages.create", "soft_limits"): "below the limits",
    ("packages.update", "soft_limits"): "below the limits",
    ("packages.create", "ceilings"): "above the limits",
    ("packages.update", "ceilings"): "above the limits",
    ("packages.create", "security"): "what a network is, is no pattern",
    ("packages.update", "security"): "as above",
    ("accounts.change-package", "package"): "the package must be there",
    ("accounts.set-overrides", "overrides"): "they lie within the package's ceilings",
    ("schedules.create", "change"): "as in the operation that is asked for later",
    ("maintenance.set", "message"): "one line",
    ("packages.set-default", "package"): "resellers must see it",
    ("packages.update", "description"): "no control characters",
    ("packages.update", "name"): "it must be as in the path",
    ("users.create", "role"): "which role one may give depends on one's own",
    ("users.create", "max_accounts"): "only resellers have it",
    ("users.create", "password"): "what everybody guesses first is refused; so are 256 characters of several bytes each",
    ("users.set-password", "password"): "as above",
    ("accounts.create", "password"): "as above",
    ("setup.run", "password"): "as above",
    ("users.set-password", "current_password"): "it must be right",
    ("tokens.create", "password"): "it must be right",
    ("tokens.create", "scopes"): "nobody gives away what they don't hold",
    ("tokens.create", "name"): "no control characters",
    ("tokens.create", "networks"): "what a network is, and that it is not all of them, is no pattern",
    ("session.jwt", "scopes"): "nobody gives away what they don't hold",
    ("accounts.suspend", "reason"): "no control characters",
    ("users.suspend", "reason"): "no control characters",
    ("schedules.create", "name"): "no control characters",
    ("schedules.create", "run_at"): "a time to come, and not beside cron",
    ("schedules.create", "cron"): "five fields that come together some day",
    ("events.listen", "topics"): "topics are words and ids after a colon, several of them in one text",
    ("events.listen", "after"): "a position is the server's own",
    ("domains.add", "domains.json: alias"): "as target",
    ("jobs.resolve", "note"): "no control characters, and not only blanks",
}

# What they do was written down earlier: a refusal is about what has changed since.
WRITTEN_DOWN = {"jobs.retry", "jobs.undo"}

# Every status that an error of ours may have, but 503, which no test means to meet. Which of them an operation may answer with,
# the document says, and status_code_conformance holds every answer against it. 405 is no operation's: it answers methods that a
# path does not have. 426 answers a plain request for the WebSocket.
REFUSALS = {400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 426, 429}


@schemathesis.hook
def before_load_schema(ctx, raw_schema):
    """Adds names that are free or there to what may stand in a body, and examples: what is tried first, as it is."""
    for item in raw_schema["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path" and parameter["name"] in THERE:
                    parameter["example"] = THERE[parameter["name"]][0]
            if operation["operationId"] in EXAMPLES:
                operation["requestBody"]["content"]["application/json"]["example"] = EXAMPLES[operation["operationId"]]
    schemas = raw_schema["components"]["schemas"]
    likely = {
        "PackageName": {"type": "string", "enum": THERE["package"]},
        "Domain": {"type": "string", "pattern": r"^[a-z]{4,12}\.test$"},
    }
    for name, schema in likely.items():
        schemas[name] = {"anyOf": [schema, schemas[name]]}
    properties = schemas["CreateAccount"]["properties"]
    properties["owner"] = {"anyOf": [{"type": "string", "enum": THERE["reseller"]}, properties["owner"]]}


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Every request comes from another visitor: of the machine itself, for whom limits are so wide that nothing meets them."""
    number = next(VISITORS)
    address = f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    case.headers = {**(case.headers or {}), "X-Real-IP": address}
    parameters = case.path_parameters
    if isinstance(parameters, dict):
        for name, value in parameters.items():
            if isinstance(value, str) and value in KEPT:
                parameters[name] = THERE[name][0]
            elif name == "user" and UUID.match(str(value)):
                # Learned from answers, but people are named by their login.
                parameters[name] = THERE[name][number % len(THERE[name])]
        # Only resellers have what these are about.
        if case.operation.definition.raw["operationId"] in RESELLERS and number % 2:
            parameters["user"] = THERE["reseller"][0]
        # One token is kept for this, as others are revoked.
        if case.operation.definition.raw["operationId"] == "tokens.rotate" and number % 2:
            parameters["token"] = TURNED
        # The first account is what everything else is done with.
        if case.operation.definition.raw["operationId"] == "accounts.delete" and value == THERE["account"][0]:
            parameters["account"] = THERE["account"][-1]


@schemathesis.hook
def map_path_parameters(ctx, parameters):
    """Puts something that is there into two of three paths. Which, follows from what was drawn: the same in every run."""
    # One draw for all names of a path: an account and a domain of it.
    drawn = zlib.crc32(repr(parameters).encode())
    for name, value in (parameters or {}).items():
        if name in THERE and isinstance(value, str) and drawn % 3:
            parameters[name] = THERE[name][drawn // 3 % len(THERE[name])]
    return parameters


@schemathesis.hook
def map_body(ctx, body):
    """Writes 7.0 as 7: JSON Schema takes both for integers, the panel and all its clients know only the second."""
    if isinstance(body, dict):
        return {name: map_body(ctx, value) for name, value in body.items()}
    if isinstance(body, list):
        return [map_body(ctx, value) for value in body]
    return int(body) if isinstance(body, float) and body.is_integer() else body


@schemathesis.hook
def after_call(ctx, case, response):
    """Counts, so that a run in which nothing was reached does not pass for a good one."""
    COUNTED.setdefault(case.operation.definition.raw["operationId"], Counter())[response.status_code] += 1


@schemathesis.check
def what_the_document_allows_is_accepted(ctx, response, case):
    """In place of positive_data_acceptance, which can't tell a wrong document from a rule that no schema can say."""
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive or response.status_code not in (400, 405, 413, 415, 422):
        return
    operation = case.operation.definition.raw["operationId"]
    problem = response.json()
    if problem["type"].endswith(":limit-exceeded") or operation in WRITTEN_DOWN:
        return
    if any(error["message"].startswith("the key was used for another request") for error in problem.get("errors", [])):
        return
    for error in problem.get("errors") or [{"field": "", "message": problem["detail"]}]:
        field = error["field"].split("[")[0]
        known = {(operation, field), (operation, field.split(".")[0])} & set(BEYOND_SCHEMAS)
        assert known, f"{operation}: {error['field']}: {error['message']}"


@schemathesis.check
def problems_are_complete(ctx, response, case):
    """An error is a problem (RFC 9457) that says its own status and can be found in the log."""
    if response.status_code < 400 or case.method.upper() == "HEAD":
        return
    if case.operation.definition.raw.get("operationId") == "health.show" and response.status_code == 503:
        return
    assert response.status_code in REFUSALS, f"{response.status_code} is not a status of this API"
    problem = response.json()
    assert problem["status"] == response.status_code, f"the body says {problem['status']}"
    assert problem["type"].startswith("urn:wcp360:problem:"), problem["type"]
    assert problem["detail"], "nothing is said about what happened"


@schemathesis.check
def nothing_is_kept_on_the_way(ctx, response, case):
    """What is said to one caller is not for caches."""
    documented = response.status_code not in (404, 405)
    assert not documented or response.headers.get("cache-control") == ["no-store"], response.headers
