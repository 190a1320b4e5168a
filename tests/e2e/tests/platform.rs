//! Installation, first boot, what listens.

use serde_json::json;
use wcp360_e2e::Host;

#[test]
fn plt_09_only_nginx_listens_publicly() {
    let host = Host::get();
    let listeners = host.sh("ss -Hltn | awk '{print $4}' | sort -u");
    for address in listeners.lines() {
        let (ip, port) = address.rsplit_once(':').unwrap();
        let loopback = ip.starts_with("127.") || ip == "[::1]";
        assert!(loopback || ["80", "443"].contains(&port), "{address} in\n{listeners}");
    }
    for public in ["0.0.0.0:80", "0.0.0.0:443", "[::]:80", "[::]:443"] {
        assert!(listeners.lines().any(|l| l == public), "{public} is missing in\n{listeners}");
    }
}

#[test]
fn plt_05_core_has_no_privilege_and_refuses_root() {
    let host = Host::get();
    let status = host.sh("cat /proc/$(pgrep -o -x wcp360-core)/status");
    let line = |name: &str| status.lines().find(|l| l.starts_with(name)).unwrap_or_default().to_owned();
    let uid = host.sh("id -u wcp360");
    assert_eq!(line("Uid:").split_whitespace().skip(1).collect::<Vec<_>>(), [uid.as_str(); 4]);
    assert_eq!(line("CapEff:").split_whitespace().nth(1), Some("0000000000000000"));
    let refused = host.exec(&["/opt/wcp360/current/bin/wcp360-core"]);
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("does not run as root"), "{refused:?}");
}

#[test]
fn plt_04_setup_is_closed_for_good() {
    let host = Host::get();
    assert_eq!(host.api("", "GET", "/setup", None).json()["system_initialized"], true);
    let body = json!({"setup_token": "x", "username": "intruder", "password": "a long password"});
    assert_eq!(host.api("", "POST", "/setup", Some(&body)).status, 409);
    let body = json!({"root_password": "x", "username": "intruder", "password": "a long password"});
    assert_eq!(host.api("", "POST", "/setup", Some(&body)).status, 409);
    assert!(!host.test("test -e /var/lib/wcp360/setup.token"));
}

#[test]
fn plt_03_files_and_modes() {
    let host = Host::get();
    for (path, expected) in [
        ("/opt/wcp360", "root:root 755"),
        ("/etc/wcp360/wcp360.yaml", "root:root 644"),
        ("/etc/wcp360/api.key", "root:root 600"),
        ("/etc/wcp360/users", "root:root 700"),
        ("/var/lib/wcp360", "root:wcp360 1771"),
        ("/var/lib/wcp360/agent", "root:root 700"),
        ("/srv/www", "root:root 711"),
        ("/run/wcp360/agent.sock", "root:wcp360 660"),
    ] {
        assert_eq!(host.sh(&format!("stat -c '%U:%G %a' {path}")), expected, "{path}");
    }
    assert!(host.test("test -L /opt/wcp360/current && test -s /opt/wcp360/current/version"));
    assert!(!host.test("find /home /var/www /usr/local -iname '*wcp360*' | grep -q ."));
    // Core can't rename what the agent keeps beside its database.
    assert!(!host.test("setpriv --reuid wcp360 --regid wcp360 --init-groups mv /var/lib/wcp360/web /var/lib/wcp360/x"));
}

#[test]
fn plt_09_the_gateway_serves_the_api() {
    let host = Host::get();
    let name = host.sh("sed -n 's/^hostname: *//p' /etc/wcp360/wcp360.yaml | tr -d '\"'");
    let health = host.fetch(&name, "/api/v1/health");
    assert_eq!(health.status, 200, "{health:?}");
    assert_eq!(health.json()["ok"], true);
    let plain = host.fetch_from("127.0.0.1", "http", &name, "/");
    assert_eq!(plain.status, 301, "{plain:?}");
    let landing = host.fetch(&name, "/");
    assert_eq!(landing.status, 200, "{landing:?}");
    assert_eq!(landing.header("x-content-type-options"), Some("nosniff"));
    // What a client writes about its address is not believed; what nginx says is.
    let resolve = format!("{name}:443:127.0.0.1");
    let url = format!("https://{name}/api/v1/session");
    host.exec_with(
        &[
            "curl",
            "-sk",
            "--resolve",
            &resolve,
            "-H",
            "X-Real-IP: 6.6.6.6",
            "-H",
            "X-Forwarded-For: 6.6.6.6",
            "-H",
            "Content-Type: application/json",
            "--data-binary",
            "@-",
            &url,
        ],
        br#"{"username": "forger", "password": "x"}"#,
    );
    let entries = host.api(host.admin(), "GET", "/audit?target=forger", None).json();
    assert_eq!(entries["items"][0]["source"], "127.0.0.1", "{entries}");
}
