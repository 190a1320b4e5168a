//! What can be done with jobs: stop, try again, take back, settle, schedule.

use serde_json::{Value, json};
use std::time::Duration;
use wcp360_e2e::Host;

fn post(host: &Host, path: &str, body: Value) -> wcp360_e2e::Answer {
    host.api(host.admin(), "POST", path, Some(&body))
}

fn done(host: &Host, answer: &wcp360_e2e::Answer) -> Value {
    assert_eq!(answer.status, 202, "{answer:?}");
    let job = host.wait_job(answer);
    assert_eq!(job["state"], "succeeded", "{job}");
    job
}

fn id(job: &Value) -> String {
    job["id"].as_str().unwrap().to_owned()
}

#[test]
fn eng_08_changes_are_taken_back_by_job() {
    let host = Host::get();
    host.create("undoing");
    host.write_as("undoing", "public_html/index.html", "here");
    let added = done(&host, &post(&host, "/accounts/undoing/domains", json!({"domain": "undoing-two.test"})));
    assert_eq!(added["actions"], json!(["undo"]), "{added}");
    let suspended = done(&host, &post(&host, "/accounts/undoing/suspend", json!({})));

    // Out of order: what came later goes first.
    let early = post(&host, &format!("/jobs/{}/undo", id(&added)), json!({}));
    assert_eq!(early.status, 409, "{early:?}");
    let plan = post(&host, &format!("/jobs/{}/undo?dry_run=true", id(&suspended)), json!({}));
    assert_eq!(plan.status, 200, "{plan:?}");
    assert!(!plan.json()["resources"].as_array().unwrap().is_empty(), "{plan:?}");
    let undone = done(&host, &post(&host, &format!("/jobs/{}/undo", id(&suspended)), json!({})));
    assert_eq!(undone["undoes"], suspended["id"]);
    assert_eq!(host.fetch("undoing.test", "/").body, "here");
    let shown = host.api(host.admin(), "GET", &format!("/jobs/{}", id(&suspended)), None).json();
    assert_eq!(shown["undone_by"], undone["id"]);
    let twice = post(&host, &format!("/jobs/{}/undo", id(&suspended)), json!({}));
    assert_eq!(twice.status, 409, "{twice:?}");
    // And back again: taking back is a change like others.
    done(&host, &post(&host, &format!("/jobs/{}/undo", id(&undone)), json!({})));
    assert_eq!(host.fetch("undoing.test", "/").status, 503);
    done(&host, &post(&host, "/accounts/undoing/unsuspend", json!({})));

    let artifacts = host.api(host.admin(), "GET", &format!("/jobs/{}/artifacts", id(&added)), None).json();
    assert_eq!(artifacts["items"][0]["name"], "apply");
    assert_eq!(artifacts["items"][1]["name"], "prepare");
}

#[test]
fn eng_08_what_would_be_lost_is_said_before() {
    let host = Host::get();
    let body = json!({"username": "undone", "primary_domain": "undone.test", "package": "starter"});
    let created = done(&host, &post(&host, "/accounts", body));
    let undo = format!("/jobs/{}/undo", id(&created));
    let refused = post(&host, &undo, json!({}));
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(refused.json()["errors"][0]["field"], "accept_data_loss");
    let plan = post(&host, &format!("{undo}?dry_run=true"), json!({})).json();
    assert!(!plan["data_loss"].as_array().unwrap().is_empty(), "{plan}");
    let removed = done(&host, &post(&host, &undo, json!({"accept_data_loss": true})));
    assert!(!host.test("id undone"));
    done(&host, &post(&host, &format!("/jobs/{}/undo", id(&removed)), json!({})));
    assert_eq!(host.fetch("undone.test", "/").status, 200);
    assert_eq!(host.api(host.admin(), "GET", "/accounts/undone", None).json()["state"], "active");
}

#[test]
fn eng_08_a_deletion_taken_back_brings_the_files_back() {
    let host = Host::get();
    host.create("returns");
    host.write_as("returns", "public_html/index.php", "<?php echo 'mine again';");
    host.sh(
        "ln -s /etc/passwd /srv/www/returns/public_html/link && chown -h returns: /srv/www/returns/public_html/link",
    );
    let inventory = "cd /srv/www/returns && find . -printf '%p %U:%G %m %l\n' | sort; id returns; \
                     readlink /var/lib/wcp360/web/names/*returns.test; stat -c '%U:%G %a' /etc/passwd";
    let before = host.sh(inventory);
    let deleted = done(&host, &host.api(host.admin(), "DELETE", "/accounts/returns", None));
    assert!(!host.test("id returns || test -e /srv/www/returns"));
    // Others get numbers meanwhile.
    host.create("between");

    let undo = format!("/jobs/{}/undo", id(&deleted));
    let plan = post(&host, &format!("{undo}?dry_run=true"), json!({})).json();
    assert!(plan["comes_back"][0].as_str().unwrap().starts_with("/srv/www/returns: with everything in it"), "{plan}");
    assert!(plan["data_loss"][0].as_str().unwrap().contains("password"), "{plan}");
    assert!(!host.test("id returns"), "only planned");
    let shown = host.cli_ok(&["jobs", "undo", &id(&deleted), "--dry-run"]);
    assert!(shown.contains("comes back: /srv/www/returns"), "{shown}");
    host.cli_ok(&["jobs", "undo", &id(&deleted)]);
    assert_eq!(host.sh(inventory), before);
    assert_eq!(host.fetch("returns.test", "/").body, "mine again");
    assert_eq!(host.sh("ls /srv/www/.trash | grep -c ^returns- || true"), "0");

    // Once more, but the name is somebody's by now; then the trash is empty.
    let deleted = done(&host, &host.api(host.admin(), "DELETE", "/accounts/returns", None));
    let undo = format!("/jobs/{}/undo", id(&deleted));
    let other = json!({"username": "taker", "primary_domain": "returns.test", "package": "starter"});
    done(&host, &post(&host, "/accounts", other));
    let refused = post(&host, &undo, json!({}));
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(refused.json()["detail"].as_str().unwrap().contains("returns.test"), "{refused:?}");
    done(&host, &host.api(host.admin(), "DELETE", "/accounts/taker", None));
    host.sh("rm -rf /srv/www/.trash/returns-*");
    let refused = post(&host, &undo, json!({}));
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(refused.json()["errors"][0]["field"], "accept_data_loss");
    assert!(!host.test("id returns"), "nothing was changed");
    // Without the files it comes back if that is accepted, as somebody new.
    done(&host, &post(&host, &undo, json!({"accept_data_loss": true})));
    assert_eq!(host.fetch("returns.test", "/").status, 200);
    assert!(!host.sh(inventory).contains("index.php"));
}

#[test]
fn eng_03_a_job_whose_change_is_refused_can_be_tried_again() {
    let host = Host::get();
    host.create("retrying");
    // Two changes that exclude each other, asked for at the same moment: the second one finds it too late.
    let first = post(&host, "/accounts/retrying/suspend", json!({}));
    let second = post(&host, "/accounts/retrying/suspend", json!({}));
    done(&host, &first);
    if second.status == 202 {
        let job = host.wait_job(&second);
        assert_eq!(job["state"], "rolled_back", "{job}");
        assert_eq!(job["actions"], json!(["retry"]));
        done(&host, &post(&host, "/accounts/retrying/unsuspend", json!({})));
        let again = post(&host, &format!("/jobs/{}/retry", id(&job)), json!({}));
        done(&host, &again);
        assert_eq!(host.fetch("retrying.test", "/").status, 503);
    }
    let over = post(&host, &format!("/jobs/{}/retry", first.json()["id"].as_str().unwrap()), json!({}));
    assert_eq!(over.status, 409, "{over:?}");
    let over = post(&host, &format!("/jobs/{}/cancel", first.json()["id"].as_str().unwrap()), json!({}));
    assert_eq!(over.status, 409, "{over:?}");
}

#[test]
fn eng_03_scheduled_changes_come_at_their_time() {
    let host = Host::get();
    host.create("ontime");
    let soon = host.sh("date -u -d '+2 seconds' +%Y-%m-%dT%H:%M:%SZ");
    let body = json!({"account": "ontime", "name": "unpaid", "run_at": soon,
                      "change": {"operation": "accounts.suspend", "reason": "unpaid"}});
    let made = post(&host, "/schedules", body);
    assert_eq!(made.status, 201, "{made:?}");
    let weekly = json!({"account": "ontime", "cron": "0 3 * * 1", "change": {"operation": "accounts.unsuspend"}});
    let weekly = post(&host, "/schedules", weekly);
    assert_eq!(weekly.status, 201, "{weekly:?}");
    let path = format!("/schedules/{}", made.json()["id"].as_str().unwrap());
    let mut shown = Value::Null;
    for _ in 0..80 {
        shown = host.api(host.admin(), "GET", &path, None).json();
        if shown["last_job"].is_string() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let job = host.api(host.admin(), "GET", &format!("/jobs/{}", shown["last_job"].as_str().unwrap()), None);
    let job = host.wait_job(&job);
    assert_eq!((job["state"].as_str(), job["schedule"].as_str()), (Some("succeeded"), shown["id"].as_str()), "{job}");
    assert_eq!(host.fetch("ontime.test", "/").status, 503);
    assert!(shown["next_run"].is_null(), "once: {shown}");

    for (body, field) in [
        (json!({"account": "ontime", "cron": "every day", "change": {"operation": "accounts.unsuspend"}}), "cron"),
        (
            json!({"account": "ontime", "run_at": "2020-01-01T00:00:00Z", "change": {"operation": "accounts.delete"}}),
            "run_at",
        ),
        (json!({"account": "ontime", "change": {"operation": "accounts.delete"}}), "run_at"),
    ] {
        let refused = post(&host, "/schedules", body);
        assert_eq!((refused.status, refused.json()["errors"][0]["field"].as_str()), (422, Some(field)), "{refused:?}");
    }
    let missing = json!({"account": "nobodyhere", "cron": "0 3 * * 1", "change": {"operation": "accounts.delete"}});
    assert_eq!(post(&host, "/schedules", missing).status, 404);
    assert_eq!(host.api(host.admin(), "DELETE", &path, None).status, 204);
    assert_eq!(host.api(host.admin(), "GET", &path, None).status, 404);
    // With the account its schedules go.
    done(&host, &host.api(host.admin(), "DELETE", "/accounts/ontime", None));
    let path = format!("/schedules/{}", weekly.json()["id"].as_str().unwrap());
    assert_eq!(host.api(host.admin(), "GET", &path, None).status, 404);
}

#[test]
fn sec_01_nobody_takes_back_what_they_may_not_ask_for() {
    let host = Host::get();
    let body = json!({"username": "bound", "primary_domain": "bound.test", "package": "business",
                      "password": "a password of bound"});
    done(&host, &post(&host, "/accounts", body));
    let token = host.token_by_login("bound", "a password of bound");
    let suspended = done(&host, &post(&host, "/accounts/bound/suspend", json!({})));
    let back = done(&host, &post(&host, &format!("/jobs/{}/undo", id(&suspended)), json!({})));
    for job in [&suspended, &back] {
        for action in ["undo", "retry", "cancel"] {
            let path = format!("/jobs/{}/{action}", id(job));
            assert_eq!(host.api(&token, "POST", &path, None).status, 403, "{path}");
        }
    }
    let planned = json!({"account": "bound", "cron": "0 3 * * 1", "change": {"operation": "accounts.suspend"}});
    assert_eq!(host.api(&token, "POST", "/schedules", Some(&planned)).status, 403);
    let planned = post(&host, "/schedules", planned);
    let path = format!("/schedules/{}", planned.json()["id"].as_str().unwrap());
    assert_eq!(host.api(&token, "DELETE", &path, None).status, 403);
    assert_eq!(host.api(&token, "GET", &path, None).status, 200);
    // Its own change it takes back itself.
    let added = json!({"domain": "bound-two.test"});
    let added = host.wait_job(&host.api(&token, "POST", "/accounts/bound/domains", Some(&added)));
    let undone = host.api(&token, "POST", &format!("/jobs/{}/undo", id(&added)), None);
    assert_eq!(undone.status, 202, "{undone:?}");
    host.wait_job(&undone);
}
