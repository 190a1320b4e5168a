-- Times are milliseconds since 1970. Types are those that SQLite and PostgreSQL share.

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE users (
    id            TEXT PRIMARY KEY,
    username      TEXT NOT NULL UNIQUE,
    role          TEXT NOT NULL,
    account_id    TEXT,
    password_hash TEXT,
    max_accounts  BIGINT,
    created_at    BIGINT NOT NULL
);
CREATE INDEX users_account ON users (account_id);

CREATE TABLE sessions (
    secret_hash  TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    source       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE tokens (
    id           TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    secret_hash  TEXT NOT NULL,
    scopes       TEXT,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT
);
CREATE INDEX tokens_user ON tokens (user_id);

CREATE TABLE packages (
    name       TEXT PRIMARY KEY,
    owner_id   TEXT NOT NULL,
    visibility TEXT NOT NULL,
    spec       TEXT NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- The index of the manifests: everything here except owner_id can be rebuilt from them.
CREATE TABLE accounts (
    id             TEXT PRIMARY KEY,
    username       TEXT NOT NULL UNIQUE,
    owner_id       TEXT NOT NULL,
    package        TEXT NOT NULL,
    state          TEXT NOT NULL,
    primary_domain TEXT NOT NULL,
    contact_email  TEXT,
    uid            BIGINT,
    revision       TEXT,
    manifests      TEXT,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);
CREATE INDEX accounts_owner ON accounts (owner_id, username);
CREATE INDEX accounts_package ON accounts (package);

-- Every name that is taken, reserved ones included. `reversed` (test.example.www.) makes "what lies under it" a range.
CREATE TABLE domains (
    name       TEXT PRIMARY KEY,
    reversed   TEXT NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL,
    -- The job that is to add it; none once it is in the manifests.
    job_id     TEXT
);
CREATE INDEX domains_reversed ON domains (reversed);
CREATE INDEX domains_account ON domains (account_id);

CREATE TABLE jobs (
    id          TEXT PRIMARY KEY,
    operation   TEXT NOT NULL,
    account_id  TEXT NOT NULL,
    account     TEXT NOT NULL,
    owner_id    TEXT NOT NULL,
    state       TEXT NOT NULL,
    actor       TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    payload     TEXT NOT NULL,
    run_at      BIGINT NOT NULL,
    lease_token BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    error       TEXT,
    applied     TEXT,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    finished_at BIGINT
);
-- What workers look through: small however many jobs are over.
CREATE INDEX jobs_open ON jobs (id) WHERE state IN ('queued', 'running', 'waiting');
CREATE INDEX jobs_account ON jobs (account_id, state);
CREATE INDEX jobs_owner ON jobs (owner_id);

CREATE TABLE job_steps (
    job_id      TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    position    BIGINT NOT NULL,
    name        TEXT NOT NULL,
    state       TEXT NOT NULL,
    attempts    BIGINT NOT NULL,
    started_at  BIGINT,
    finished_at BIGINT,
    error       TEXT,
    output      TEXT,
    PRIMARY KEY (job_id, position)
);

CREATE TABLE job_log (
    job_id  TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    seq     BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    step    TEXT,
    message TEXT NOT NULL,
    PRIMARY KEY (job_id, seq)
);

CREATE TABLE idempotency (
    user_id    TEXT NOT NULL,
    name       TEXT NOT NULL,
    request    TEXT NOT NULL,
    job_id     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, name)
);

CREATE TABLE audit (
    seq        BIGINT PRIMARY KEY,
    at         BIGINT NOT NULL,
    actor      TEXT NOT NULL,
    source     TEXT NOT NULL,
    action     TEXT NOT NULL,
    target     TEXT,
    owner_id   TEXT,
    outcome    TEXT NOT NULL,
    detail     TEXT,
    request_id TEXT NOT NULL,
    job        TEXT,
    hash       TEXT NOT NULL
);
CREATE INDEX audit_target ON audit (target, seq);
CREATE INDEX audit_actor ON audit (actor, seq);
