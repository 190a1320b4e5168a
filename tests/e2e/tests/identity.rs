//! Logins, sessions, JWTs, tokens, limits and sealed values on the installed product.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use wcp360_e2e::{Answer, Host};

/// A visitor from somewhere, as nginx hands it on.
struct Visitor<'h> {
    host: &'h Host,
    address: &'static str,
    agent: &'static str,
}

impl Visitor<'_> {
    fn call(&self, credential: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let url = format!("http://localhost/api/v1{path}");
        let (from, agent) = (format!("X-Real-IP: {}", self.address), format!("User-Agent: {}", self.agent));
        let socket = "/run/wcp360/panel/api.sock";
        let mut command = vec!["curl", "-sS", "-i", "--max-time", "60", "--unix-socket", socket, "-X", method, &url];
        command.extend(["-H", &from, "-H", &agent]);
        if !credential.is_empty() {
            command.extend(["-H", credential]);
        }
        if body.is_some() {
            command.extend(["-H", "Content-Type: application/json", "-H", "Expect:", "--data-binary", "@-"]);
        }
        let text = body.map(Value::to_string).unwrap_or_default();
        Answer::parse(&self.host.exec_with(&command, text.as_bytes()).out)
    }

    fn log_in(&self, name: &str, password: &str) -> Answer {
        self.call("", "POST", "/session", Some(&json!({"username": name, "password": password})))
    }

    /// The cookie of a new session.
    fn session(&self, name: &str) -> String {
        let answer = self.log_in(name, &password(name));
        assert_eq!(answer.status, 200, "{answer:?}");
        cookie(&answer)
    }
}

fn cookie(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").expect("a cookie").split(';').next().unwrap_or_default();
    format!("Cookie: {cookie}")
}

fn bearer(secret: &Value) -> String {
    format!("Authorization: Bearer {}", secret.as_str().expect("a secret"))
}

fn password(name: &str) -> String {
    format!("{name} has a secret")
}

fn person(host: &Host, name: &str, role: &str) {
    let body = json!({"username": name, "role": role, "password": password(name)});
    assert_eq!(host.api(host.admin(), "POST", "/users", Some(&body)).status, 201);
}

fn items(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["items"].as_array().unwrap().clone()
}

#[test]
fn sec_02_sessions_are_seen_ended_and_rotated_at_login() {
    let host = Host::get();
    person(&host, "sess-reseller", "reseller");
    let visitor = Visitor { host: &host, address: "203.0.113.10", agent: "Firefox/128.0 <b>" };
    let first = visitor.session("sess-reseller");
    let second = visitor.session("sess-reseller");
    let list = items(&visitor.call(&second, "GET", "/sessions", None));
    assert_eq!(list.len(), 2, "{list:?}");
    assert_eq!((&list[0]["source"], &list[0]["user_agent"]), (&json!("203.0.113.10"), &json!("Firefox/128.0 <b>")));
    let one = list.iter().find(|s| s["current"] == false).unwrap()["id"].as_str().unwrap();
    assert_eq!(visitor.call(&second, "DELETE", &format!("/sessions/{one}"), None).status, 204);
    assert_eq!(visitor.call(&first, "GET", "/session", None).status, 401);
    assert_eq!(visitor.call(&second, "DELETE", &format!("/sessions/{one}"), None).status, 404);
    // A login in the same browser: the old secret is worth nothing afterwards.
    let body = json!({"username": "sess-reseller", "password": password("sess-reseller")});
    let third = cookie(&visitor.call(&second, "POST", "/session", Some(&body)));
    assert_ne!(second, third);
    assert_eq!(visitor.call(&second, "GET", "/session", None).status, 401);
    // Those above see and end them, with the command line too.
    let shown = host.cli_ok(&["users", "sessions", "sess-reseller"]);
    assert!(shown.contains("203.0.113.10"), "{shown}");
    host.cli_ok(&["users", "end-sessions", "sess-reseller"]);
    assert_eq!(visitor.call(&third, "GET", "/session", None).status, 401);
    let entries = host.api(host.admin(), "GET", "/audit?target=sess-reseller&action=users.end-sessions", None).json();
    assert_eq!(entries["items"][0]["outcome"], "succeeded", "{entries}");
}

#[test]
fn sec_02_a_jwt_is_limited_and_ends_within_a_second() {
    let host = Host::get();
    person(&host, "jwt-reseller", "reseller");
    let visitor = Visitor { host: &host, address: "203.0.113.11", agent: "Firefox/128.0" };
    let session = visitor.session("jwt-reseller");
    let mint = |credential: &str, body: Value| visitor.call(credential, "POST", "/session/jwt", Some(&body));
    let minted = mint(&session, json!({"scopes": ["accounts.read", "self.manage"], "expires_in_seconds": 60}));
    assert_eq!(minted.status, 201, "{minted:?}");
    let jwt = bearer(&minted.json()["secret"]);
    assert_eq!(visitor.call(&jwt, "GET", "/accounts", None).status, 200);
    assert_eq!(visitor.call(&jwt, "GET", "/session", None).json()["via"], "jwt");
    assert_eq!(visitor.call(&jwt, "GET", "/packages", None).status, 403, "outside its scopes");
    for (method, path) in
        [("POST", "/session/jwt"), ("POST", "/tokens"), ("DELETE", "/session"), ("DELETE", "/sessions")]
    {
        let body = (method == "POST").then(|| json!({"name": "x", "password": password("jwt-reseller")}));
        assert_eq!(visitor.call(&jwt, method, path, body.as_ref()).status, 403, "{method} {path}");
    }
    let ws = bearer(&mint(&session, json!({"audience": "ws"})).json()["secret"]);
    assert_eq!(visitor.call(&ws, "GET", "/accounts", None).status, 401, "for another audience");
    // Changed in one character; without a signature.
    let text = jwt.strip_prefix("Authorization: Bearer ").unwrap();
    let parts: Vec<&str> = text.split('.').collect();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    for forged in [format!("{}.{}A.{}", parts[0], parts[1], parts[2]), format!("{none}.{}.", parts[1])] {
        let forged = format!("Authorization: Bearer {forged}");
        assert_eq!(visitor.call(&forged, "GET", "/accounts", None).status, 401);
    }
    assert_eq!(visitor.call(&session, "DELETE", "/session", None).status, 204);
    let ended = Instant::now();
    while visitor.call(&jwt, "GET", "/accounts", None).status != 401 {
        assert!(ended.elapsed() < Duration::from_secs(1), "the session has ended, the JWT goes on");
    }
}

#[test]
fn sec_04_the_history_lockouts_and_fail2ban() {
    let host = Host::get();
    person(&host, "hist-reseller", "reseller");
    let home = Visitor { host: &host, address: "203.0.113.12", agent: "Firefox/128.0" };
    let stranger = Visitor { host: &host, address: "198.51.100.12", agent: "curl/8" };
    let session = home.session("hist-reseller");
    for _ in 0..5 {
        assert_eq!(stranger.log_in("hist-reseller", "wrong").status, 401);
    }
    let locked = stranger.log_in("hist-reseller", &password("hist-reseller"));
    assert_eq!(locked.status, 429, "{locked:?}");
    assert!(locked.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(home.log_in("hist-reseller", &password("hist-reseller")).status, 200, "the person is not locked out");
    let abroad = Visitor { host: &host, address: "2001:db8::12", agent: "Chrome/1" };
    assert_eq!(abroad.log_in("hist-reseller", &password("hist-reseller")).status, 200);
    // A name that would be a line of its own, if it could.
    let liar = Visitor { host: &host, address: "198.51.100.13", agent: "x" };
    let name = "x\"\nwcp360 login-failed source=192.0.2.99 reason=a user=\"y";
    assert_eq!(liar.log_in(name, "wrong").status, 401);

    let history = items(&home.call(&session, "GET", "/logins", None));
    assert_eq!(history.iter().filter(|l| l["outcome"] == "failure" && l["source"] == "198.51.100.12").count(), 5);
    assert_eq!((&history[0]["source"], &history[0]["alert"]), (&json!("2001:db8::12"), &json!(true)), "{history:?}");
    let alerts = items(&home.call(&session, "GET", "/logins?alert=true", None));
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert!(host.cli_ok(&["users", "logins", "hist-reseller"]).contains("198.51.100.12"));

    // The filter that comes with the release, read by fail2ban itself.
    let filter = "/opt/wcp360/current/fail2ban/filter.d/wcp360.conf";
    host.sh("grep -E '198.51.100.1[23] ' /var/log/wcp360/security.log >/tmp/security.log");
    let found = host.sh(&format!("fail2ban-regex -o ip /tmp/security.log {filter} | sort | uniq -c | tr -s ' '"));
    let lines: Vec<&str> = found.lines().map(str::trim).collect();
    assert_eq!(lines, ["5 198.51.100.12", "1 198.51.100.13"], "{found}");
    let whole = host.sh(&format!("fail2ban-regex -o ip /var/log/wcp360/security.log {filter} | sort -u"));
    assert!(!whole.contains("192.0.2.99") && !whole.contains("local"), "{whole}");
}

#[test]
fn sec_03_tokens_are_bound_to_networks_counted_rotated_and_ended_by_those_above() {
    let host = Host::get();
    let owner = host.reseller("tok-reseller");
    let body = json!({"name": "bound", "networks": ["203.0.113.0/24", "::ffff:198.51.100.7"]});
    let made = host.api(&owner, "POST", "/tokens", Some(&body));
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    assert_eq!(made["networks"], json!(["198.51.100.7", "203.0.113.0/24"]), "in one form");
    let (id, token) = (made["id"].as_str().unwrap(), bearer(&made["secret"]));
    let inside = Visitor { host: &host, address: "203.0.113.13", agent: "script" };
    let outside = Visitor { host: &host, address: "203.0.114.13", agent: "script" };
    assert_eq!(inside.call(&token, "GET", "/accounts", None).status, 200);
    let refused = outside.call(&token, "GET", "/accounts", None);
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.json()["detail"].as_str().unwrap().contains("203.0.114.13"));
    // What a process of the machine claims about its address is nothing.
    let claimed = host.api_with(
        made["secret"].as_str().unwrap(),
        "GET",
        "/accounts",
        None,
        &["X-Real-IP: 203.0.113.13", "X-Forwarded-For: 203.0.113.13"],
    );
    assert_eq!(claimed.status, 403, "{claimed:?}");
    let shown = host.cli_ok(&["users", "tokens", "tok-reseller"]);
    assert!(shown.contains("203.0.113.13"), "{shown}");
    let rotated = host.api(&owner, "POST", &format!("/tokens/{id}/rotate"), Some(&json!({})));
    assert_eq!(rotated.status, 200, "{rotated:?}");
    assert_eq!(inside.call(&token, "GET", "/accounts", None).status, 401);
    let token = bearer(&rotated.json()["secret"]);
    assert_eq!(inside.call(&token, "GET", "/accounts", None).status, 200);
    host.cli_ok(&["users", "revoke-token", "tok-reseller", id]);
    assert_eq!(inside.call(&token, "GET", "/accounts", None).status, 401);
}

#[test]
fn sec_04_limits_of_a_package_are_told_and_kept() {
    let host = Host::get();
    let spec = json!({"name": "slow-api", "security": {"api_requests_per_minute": 10}});
    assert_eq!(host.api(host.admin(), "POST", "/packages", Some(&spec)).status, 201);
    let body = json!({"username": "slowapi", "primary_domain": "slowapi.test", "package": "slow-api",
                      "password": password("slowapi")});
    let made = host.api(host.admin(), "POST", "/accounts", Some(&body));
    assert_eq!(host.wait_job(&made)["state"], "succeeded");
    let visitor = Visitor { host: &host, address: "203.0.113.14", agent: "script" };
    let session = visitor.session("slowapi");
    let answers: Vec<Answer> = (0..12).map(|_| visitor.call(&session, "GET", "/session", None)).collect();
    assert_eq!(answers[0].header("ratelimit-policy").unwrap(), "\"address\";q=1800;w=60, \"account\";q=10;w=60");
    assert!(answers[0].header("ratelimit").unwrap().contains("\"account\";r=9;t="), "{:?}", answers[0]);
    let refused = answers.iter().find(|answer| answer.status == 429).expect("more than ten are too many");
    assert!((1..=60).contains(&refused.header("retry-after").unwrap().parse::<u64>().unwrap()), "{refused:?}");
    assert!(refused.json()["detail"].as_str().unwrap().contains("10 requests a minute"), "{refused:?}");
    // Nobody else waits for that, least of all who runs the machine.
    assert_eq!(host.api(host.admin(), "GET", "/session", None).status, 200);
    let quick = host.sh("for n in $(seq 300); do wcp360 whoami >/dev/null || exit 1; done; echo fine");
    assert_eq!(quick, "fine");
}

#[test]
fn alone_sec_10_keys_rotate_whenever_core_is_killed() {
    let host = Host::get();
    let keys = "/var/lib/wcp360/secrets.key";
    assert_eq!(host.sh(&format!("stat -c '%U %a' {keys}")), "wcp360 400");
    let status = |host: &Host| host.api(host.admin(), "GET", "/secrets", None).json();
    let before = status(&host)["current"].as_str().unwrap().to_owned();
    // Only root; nobody else sees that there is such a thing.
    let reseller = host.reseller("key-reseller");
    assert_eq!(host.api(&reseller, "POST", "/secrets/rotate", None).status, 403);
    let minted = host.api(host.admin(), "POST", "/session/jwt", Some(&json!({}))).json();
    for _ in 0..3 {
        let ended = host.cli(&["secrets", "rotate"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        host.sh("pkill -9 -x wcp360-core");
        let until = Instant::now() + Duration::from_secs(30);
        while host.api("", "GET", "/health", None).status != 200 {
            assert!(Instant::now() < until, "core does not come back");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let after = status(&host);
    assert_ne!(after["current"], before.as_str());
    assert_eq!(after["pending"], 0, "{after}");
    let old = minted["secret"].as_str().unwrap();
    assert_eq!(host.api(old, "GET", "/session", None).status, 401, "the signing key is another one");
    let minted = host.api(host.admin(), "POST", "/session/jwt", Some(&json!({}))).json();
    assert_eq!(host.api(minted["secret"].as_str().unwrap(), "GET", "/session", None).status, 200);
    // No key in the database, in a log, or readable for tenants.
    let key = host.sh(&format!("jq -r '.keys[-1].key' {keys}"));
    assert!(!host.test(&format!("grep -rqF '{key}' /var/log/wcp360 /var/lib/wcp360/state.db*")));
    assert!(!host.test(&format!("setpriv --reuid demo --regid demo --clear-groups cat {keys}")));
}
