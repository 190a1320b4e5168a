-- Times are milliseconds since 1970. Types and statements are those that SQLite and PostgreSQL share; on PostgreSQL all text
-- sorts by bytes.

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
    -- What a reseller may give besides, as JSON.
    limits        TEXT,
    suspended_at  BIGINT,
    -- The bulk change that suspended a reseller's accounts.
    suspended_by  TEXT,
    created_at    BIGINT NOT NULL
);
CREATE INDEX users_account ON users (account_id);

-- `id` names a session to people, `secret_hash` is what the browser's secret is looked up by.
CREATE TABLE sessions (
    secret_hash  TEXT PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    source       TEXT NOT NULL,
    user_agent   TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id, id);
CREATE INDEX sessions_end ON sessions (expires_at);

-- Attempts to log in, as people see them. `network` and `agent` are source and user agent without what changes by itself.
CREATE TABLE logins (
    id          TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    at          BIGINT NOT NULL,
    outcome     TEXT NOT NULL,
    reason      TEXT,
    source      TEXT NOT NULL,
    user_agent  TEXT NOT NULL,
    network     TEXT NOT NULL,
    agent       TEXT NOT NULL,
    new_address BIGINT NOT NULL,
    new_agent   BIGINT NOT NULL,
    alert       BIGINT NOT NULL
);
CREATE INDEX logins_user ON logins (user_id, outcome, id);
CREATE INDEX logins_at ON logins (at);

CREATE TABLE tokens (
    id             TEXT PRIMARY KEY,
    user_id        TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name           TEXT NOT NULL,
    secret_hash    TEXT NOT NULL,
    scopes         TEXT,
    networks       TEXT,
    created_at     BIGINT NOT NULL,
    rotated_at     BIGINT,
    expires_at     BIGINT,
    last_used_at   BIGINT,
    last_used_from TEXT,
    uses           BIGINT NOT NULL,
    -- The token that made it, if one did: it ends with that.
    made_by        TEXT REFERENCES tokens (id) ON DELETE CASCADE
);
CREATE INDEX tokens_user ON tokens (user_id, id);
CREATE INDEX tokens_made_by ON tokens (made_by) WHERE made_by IS NOT NULL;

-- The panel's own secrets that must be read back, each sealed with a key that is not in the database.
CREATE TABLE secrets (
    name       TEXT PRIMARY KEY,
    sealed     TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE packages (
    name       TEXT PRIMARY KEY,
    owner_id   TEXT NOT NULL,
    visibility TEXT NOT NULL,
    extends    TEXT,
    -- As it is written, and what it gives with what comes from those that it extends.
    spec       TEXT NOT NULL,
    gives      TEXT NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX packages_extends ON packages (extends);
CREATE INDEX packages_owner ON packages (owner_id);

CREATE TABLE package_versions (
    package    TEXT NOT NULL REFERENCES packages (name) ON DELETE CASCADE,
    version    BIGINT NOT NULL,
    spec       TEXT NOT NULL,
    gives      TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (package, version)
);

-- What accounts get that ask for no package: the reseller's choice, or that of the installation (no owner).
CREATE TABLE default_packages (
    owner_id TEXT PRIMARY KEY,
    package  TEXT NOT NULL REFERENCES packages (name) ON DELETE CASCADE
);

-- The index of the manifests: everything here except owner_id can be rebuilt from them.
CREATE TABLE accounts (
    id             TEXT PRIMARY KEY,
    username       TEXT NOT NULL UNIQUE,
    owner_id       TEXT NOT NULL,
    package        TEXT NOT NULL,
    package_version BIGINT NOT NULL,
    state          TEXT NOT NULL,
    -- The role of who suspended it last.
    suspended_by   TEXT,
    primary_domain TEXT NOT NULL,
    contact_email  TEXT,
    uid            BIGINT,
    revision       TEXT,
    manifests      TEXT,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);
CREATE INDEX accounts_owner ON accounts (owner_id, username);
CREATE INDEX accounts_package ON accounts (package, package_version);

-- What accounts are given: one row for what holds, without a job, and one for each change that is queued. The larger ones
-- count against what a reseller may give, the smaller ones against what can be added to an account. What is unlimited stands
-- here as a number above all limits.
CREATE TABLE allotments (
    account_id     TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    job_id         TEXT NOT NULL,
    package        TEXT NOT NULL,
    cpu_percent    BIGINT NOT NULL,
    memory_mb      BIGINT NOT NULL,
    disk_mb        BIGINT NOT NULL,
    inodes         BIGINT NOT NULL,
    bandwidth_mb   BIGINT NOT NULL,
    processes      BIGINT NOT NULL,
    io_read_mbps   BIGINT NOT NULL,
    io_write_mbps  BIGINT NOT NULL,
    addon_domains  BIGINT NOT NULL,
    subdomains     BIGINT NOT NULL,
    alias_domains  BIGINT NOT NULL,
    databases      BIGINT NOT NULL,
    database_users BIGINT NOT NULL,
    mailboxes      BIGINT NOT NULL,
    ftp_accounts   BIGINT NOT NULL,
    cron_jobs      BIGINT NOT NULL,
    PRIMARY KEY (account_id, job_id)
);
CREATE INDEX allotments_package ON allotments (package);

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
    id               TEXT PRIMARY KEY,
    operation        TEXT NOT NULL,
    -- Jobs of a lane run one after the other: the account's id, or what else must not happen twice at once.
    lane             TEXT NOT NULL,
    -- Whose turn it is: the reseller's id, or the account's.
    tenant           TEXT NOT NULL,
    account_id       TEXT,
    account          TEXT,
    owner_id         TEXT NOT NULL,
    actor            TEXT NOT NULL,
    actor_id         TEXT,
    source           TEXT NOT NULL,
    request_id       TEXT NOT NULL,
    payload          TEXT NOT NULL,
    -- The steps with their states, as JSON; what they produced is in job_artifacts.
    steps            TEXT NOT NULL,
    state            TEXT NOT NULL,
    -- Larger ones first.
    priority         BIGINT NOT NULL,
    -- Tenants take turns: the n-th waiting job of each tenant comes before the n+1-th of any.
    turn             BIGINT NOT NULL,
    -- 1: the first job of its lane that is not over, so it may run.
    head             BIGINT NOT NULL,
    run_at           BIGINT NOT NULL,
    lease_token      BIGINT NOT NULL,
    lease_until      BIGINT NOT NULL,
    cancel_requested BIGINT NOT NULL,
    error            TEXT,
    undoes           TEXT,
    undone_by        TEXT,
    -- What somebody found out about a failed job, and settled.
    resolution       TEXT,
    schedule_id      TEXT,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    finished_at      BIGINT
);
-- What workers look through: small however many jobs are over.
CREATE INDEX jobs_ready ON jobs (priority DESC, turn, id) WHERE state = 'queued' AND head = 1;
CREATE INDEX jobs_lane ON jobs (lane, id) WHERE state IN ('queued', 'running', 'waiting');
CREATE INDEX jobs_tenant ON jobs (tenant, turn) WHERE state IN ('queued', 'running', 'waiting');
CREATE INDEX jobs_waiting ON jobs (run_at) WHERE state = 'waiting';
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_account ON jobs (account_id, id);
CREATE INDEX jobs_owner ON jobs (owner_id, id);
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- Changes that are to be asked for later, once or again and again.
CREATE TABLE schedules (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    account    TEXT NOT NULL,
    owner_id   TEXT NOT NULL,
    actor_id   TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The token it was asked for with, if it was one.
    token_id   TEXT,
    operation  TEXT NOT NULL,
    change     TEXT NOT NULL,
    cron       TEXT,
    next_run   BIGINT,
    last_run   BIGINT,
    last_job   TEXT,
    last_error TEXT,
    -- How often in a row it was refused.
    refusals   BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX schedules_due ON schedules (next_run) WHERE next_run IS NOT NULL;
CREATE INDEX schedules_account ON schedules (account_id);

CREATE TABLE job_artifacts (
    job_id  TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (job_id, name)
);

CREATE TABLE job_log (
    job_id  TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    seq     BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    step    TEXT,
    message TEXT NOT NULL,
    PRIMARY KEY (job_id, seq)
);

-- Changes of many accounts at once, and what became of each.
CREATE TABLE bulks (
    id         TEXT PRIMARY KEY,
    operation  TEXT NOT NULL,
    action     TEXT NOT NULL,
    package    TEXT,
    payload    TEXT NOT NULL,
    actor      TEXT NOT NULL,
    actor_id   TEXT NOT NULL,
    source     TEXT NOT NULL,
    request_id TEXT NOT NULL,
    -- 1: some accounts have no job yet.
    open       BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX bulks_actor ON bulks (actor_id, id);
CREATE INDEX bulks_open ON bulks (id) WHERE open = 1;

CREATE TABLE bulk_items (
    bulk_id TEXT NOT NULL REFERENCES bulks (id) ON DELETE CASCADE,
    account TEXT NOT NULL,
    state   TEXT NOT NULL,
    job_id  TEXT,
    error   TEXT,
    PRIMARY KEY (bulk_id, account)
);
CREATE INDEX bulk_items_pending ON bulk_items (bulk_id, account) WHERE state = 'pending';

CREATE TABLE idempotency (
    user_id    TEXT NOT NULL,
    name       TEXT NOT NULL,
    request    TEXT NOT NULL,
    job_id     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, name)
);
CREATE INDEX idempotency_age ON idempotency (created_at);

-- Entries that were recorded with what they are about and wait, for moments, for their place in the chain.
CREATE TABLE audit_inbox (
    id    TEXT PRIMARY KEY,
    entry TEXT NOT NULL
);

CREATE TABLE audit (
    seq        BIGINT PRIMARY KEY,
    at         BIGINT NOT NULL,
    actor      TEXT NOT NULL,
    on_behalf  TEXT,
    source     TEXT NOT NULL,
    action     TEXT NOT NULL,
    target     TEXT,
    -- Whose it is: the owner of the account it is about, or who acted. And the account.
    owner_id   TEXT,
    account_id TEXT,
    outcome    TEXT NOT NULL,
    detail     TEXT,
    before     TEXT,
    after      TEXT,
    request_id TEXT NOT NULL,
    job        TEXT,
    -- The hash of the entry before, and its own.
    previous   TEXT NOT NULL,
    hash       TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at, seq);
CREATE INDEX audit_target ON audit (target, seq);
CREATE INDEX audit_actor ON audit (actor, seq);
CREATE INDEX audit_action ON audit (action, seq);
CREATE INDEX audit_owner ON audit (owner_id, seq);
CREATE INDEX audit_account ON audit (account_id, seq);
CREATE INDEX audit_job ON audit (job) WHERE job IS NOT NULL;

-- Signatures over the chain at a position; several processes may sign the same one.
CREATE TABLE audit_checkpoints (
    seq       BIGINT NOT NULL,
    key_id    TEXT NOT NULL,
    hash      TEXT NOT NULL,
    at        BIGINT NOT NULL,
    signature TEXT NOT NULL,
    PRIMARY KEY (seq, key_id)
);
