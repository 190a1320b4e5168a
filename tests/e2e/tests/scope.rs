//! Roles and the tenant tree.

use serde_json::json;
use wcp360_e2e::Host;

#[test]
fn sec_01_resellers_and_clients_see_their_own() {
    let host = Host::get();
    let (one, two) = (host.reseller("sell-one"), host.reseller("sell-two"));
    let body = json!({"username": "ofone", "primary_domain": "ofone.test", "package": "starter", "password": "the client of one"});
    let job = host.wait_job(&host.api(&one, "POST", "/accounts", Some(&body)));
    assert_eq!(job["state"], "succeeded", "{job}");
    let job_path = format!("/jobs/{}", job["id"].as_str().unwrap());
    let client = host.token_by_login("ofone", "the client of one");

    let listed = host.api(&one, "GET", "/accounts", None).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(host.api(&two, "GET", "/accounts", None).json()["items"].as_array().unwrap().len(), 0);
    let own = host.api(&client, "GET", "/accounts", None).json();
    assert_eq!(own["items"].as_array().unwrap().len(), 1);

    // Foreign and missing look the same.
    let normal = |text: &str, name: &str| text.replace(name, "NAME");
    for (token, foreign) in [(&two, "ofone"), (&client, "demo")] {
        for (method, path, body) in [
            ("GET", "/accounts/NAME", None),
            ("GET", "/accounts/NAME/domains", None),
            ("POST", "/accounts/NAME/domains", Some(json!({"domain": "grab.test"}))),
            ("DELETE", "/accounts/NAME/domains/ofone.test", None),
            ("POST", "/accounts/NAME/suspend", Some(json!({}))),
            ("DELETE", "/accounts/NAME", None),
        ] {
            let call = |name: &str| {
                let answer = host.api(token, method, &path.replace("NAME", name), body.as_ref());
                let mut problem = answer.json();
                problem["request_id"] = json!(null);
                (answer.status, normal(&problem.to_string(), name))
            };
            let (foreign, missing) = (call(foreign), call("missing"));
            assert_eq!(foreign, missing, "{method} {path}");
            assert!(foreign.0 == 404 || foreign.0 == 403, "{method} {path}: {foreign:?}");
        }
    }
    assert_eq!(host.api(&one, "GET", &job_path, None).status, 200);
    assert_eq!(host.api(&client, "GET", &job_path, None).status, 200);
    assert_eq!(host.api(&two, "GET", &job_path, None).status, 404);
    assert_eq!(host.api(&two, "GET", "/jobs", None).json()["items"].as_array().unwrap().len(), 0);

    // What a role may not do at all.
    for (token, method, path) in [
        (&client, "POST", "/accounts"),
        (&client, "GET", "/packages"),
        (&client, "GET", "/audit/export"),
        (&client, "GET", "/audit/verify"),
        (&one, "GET", "/audit/verify"),
        (&one, "POST", "/audit/key"),
        (&client, "GET", "/metrics"),
        (&client, "DELETE", "/accounts/ofone"),
        (&one, "POST", "/users"),
        (&one, "GET", "/metrics"),
    ] {
        assert_eq!(host.api(token, method, path, Some(&json!({}))).status, 403, "{method} {path}");
    }
    // A client manages the domains of its own account.
    let job = host.wait_job(&host.api(
        &client,
        "POST",
        "/accounts/ofone/domains",
        Some(&json!({"domain": "blog.ofone.test"})),
    ));
    assert_eq!(job["state"], "succeeded", "{job}");
    // Nobody gives accounts to somebody else's name or changes a package that is not theirs.
    let stolen =
        json!({"username": "stolen", "primary_domain": "stolen.test", "package": "starter", "owner": "sell-one"});
    assert_eq!(host.api(&two, "POST", "/accounts", Some(&stolen)).status, 422);
    let package = json!({"name": "starter", "description": "mine now"});
    assert_eq!(host.api(&two, "PUT", "/packages/starter", Some(&package)).status, 404);
}

#[test]
fn web_01_a_name_under_anothers_is_refused() {
    let host = Host::get();
    host.create("landlord");
    host.create("squatter");
    for name in [
        "landlord.test",
        "www.landlord.test",
        "shop.landlord.test",
        "a.b.landlord.test",
        "LANDLORD.test.",
        "xn--nxasmq6b.landlord.test",
    ] {
        let answer = host.api(host.admin(), "POST", "/accounts/squatter/domains", Some(&json!({"domain": name})));
        assert_eq!(answer.status, 409, "{name}: {answer:?}");
        assert_eq!(answer.json()["errors"][0]["field"], "domain");
    }
    let job = host.wait_job(&host.api(
        host.admin(),
        "POST",
        "/accounts/squatter/domains",
        Some(&json!({"domain": "x.free-squatter.test"})),
    ));
    assert_eq!(job["state"], "succeeded");
    let above =
        host.api(host.admin(), "POST", "/accounts/landlord/domains", Some(&json!({"domain": "free-squatter.test"})));
    assert_eq!(above.status, 409, "{above:?}");
}

#[test]
fn ten_03_limits_hold_under_concurrency() {
    let host = Host::get();
    host.cli_ok(&["accounts", "create", "limited", "--primary-domain", "limited.test", "--package", "starter"]);
    // The package allows 10 subdomains: 40 requests at once.
    let token = host.admin();
    let statuses = host.sh(&format!(
        "seq 1 40 | xargs -P 40 -I N curl -s -o /dev/null -w '%{{http_code}}\\n' -X POST \
         -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \
         -d '{{\"domain\": \"sN.limited.test\"}}' http://127.0.0.1:2098/api/v1/accounts/limited/domains"
    ));
    let accepted = statuses.lines().filter(|s| *s == "202").count();
    let refused = statuses.lines().filter(|s| *s == "422").count();
    assert_eq!((accepted, refused), (10, 30), "{statuses}");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while host.api(token, "GET", "/jobs?account=limited&state=queued", None).json()["items"]
        .as_array()
        .is_some_and(|i| !i.is_empty())
        || host.api(token, "GET", "/jobs?account=limited&state=running", None).json()["items"]
            .as_array()
            .is_some_and(|i| !i.is_empty())
    {
        assert!(std::time::Instant::now() < until);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let domains = host.api(token, "GET", "/accounts/limited/domains", None).json();
    assert_eq!(domains["items"].as_array().unwrap().len(), 11);
    assert_eq!(host.api(token, "GET", "/accounts/limited", None).json()["domains"], 11);
}
