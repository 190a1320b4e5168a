//! A tenant and another one's files.

use wcp360_e2e::Host;

const READ: &str = "<?php $f = $_GET['f']; echo 'read: '; echo @file_get_contents($f) ?: 'nothing'; \
                    echo ' list: ', implode(',', @scandir($f) ?: ['nothing']);";

#[test]
fn ten_09_php_cannot_read_another_account() {
    let host = Host::get();
    host.create("reader");
    host.create("owner1");
    host.write_as("owner1", "public_html/config.php", "<?php $password = 'secret-of-owner';");
    host.write_as("owner1", "private/notes.txt", "secret-of-owner");
    host.write_as("reader", "public_html/read.php", READ);
    // The control: its own files it can read.
    host.write_as("reader", "public_html/own.txt", "my own words");
    assert!(host.fetch("reader.test", "/read.php?f=/srv/www/reader/public_html/own.txt").body.contains("my own words"));
    for path in [
        "/srv/www/owner1/public_html/config.php",
        "/srv/www/owner1/private/notes.txt",
        "/srv/www/owner1/public_html",
        "/srv/www",
        "/etc/wcp360/users",
        "/etc/wcp360/api.key",
        "/etc/wcp360/ssl/panel.pem",
        "/var/lib/wcp360/state.db",
        "/etc/shadow",
        "/var/lib/wcp360/web/sites/owner1/owner1.test/tls.pem",
        "/var/lib/wcp360/web/sites/reader/reader.test/tls.pem",
    ] {
        let page = host.fetch("reader.test", &format!("/read.php?f={path}"));
        assert_eq!(page.status, 200);
        let (read, list) = page.body.split_once(" list: ").unwrap();
        assert_eq!(read, "read: nothing", "{path}");
        assert!(!list.contains("config.php") && !list.contains("owner1") && !list.contains("notes"), "{path}: {list}");
    }
    // Not by open_basedir alone: as the user itself, outside of PHP.
    for path in ["/srv/www/owner1/public_html/config.php", "/srv/www/owner1/private/notes.txt", "/etc/wcp360/api.key"] {
        assert!(!host.test(&format!("setpriv --reuid reader --regid reader --init-groups cat {path}")), "{path}");
    }
}

#[test]
fn ten_09_nginx_follows_no_link_to_another_account() {
    let host = Host::get();
    host.create("linker");
    host.create("owner2");
    host.write_as("owner2", "public_html/config.txt", "secret-of-owner");
    let as_linker = |script: &str| {
        host.sh(&format!("setpriv --reuid linker --regid linker --init-groups bash -c '{script}'"));
    };
    as_linker("ln -s /srv/www/owner2/public_html/config.txt /srv/www/linker/public_html/a.txt");
    as_linker("ln -s /srv/www/owner2/public_html /srv/www/linker/public_html/dir");
    as_linker("ln -s /etc/passwd /srv/www/linker/public_html/passwd.txt");
    as_linker("echo mine > /srv/www/linker/public_html/real.txt; ln -s real.txt /srv/www/linker/public_html/own.txt");
    assert_eq!(host.fetch("linker.test", "/own.txt").body.trim(), "mine", "its own links work");
    for path in ["/a.txt", "/dir/config.txt", "/passwd.txt"] {
        let page = host.fetch("linker.test", path);
        assert!(page.status == 404 || page.status == 403, "{path}: {page:?}");
        assert!(!page.body.contains("secret-of-owner") && !page.body.contains("root:"), "{path}");
    }
    assert!(!host.test(
        "setpriv --reuid linker --regid linker --init-groups ln /srv/www/owner2/public_html/config.txt \
                        /srv/www/linker/public_html/hard.txt"
    ));
}

#[test]
fn ten_09_sockets_and_names_of_others_are_out_of_reach() {
    let host = Host::get();
    host.create("knocker");
    host.create("owner3");
    host.write_as("knocker", "public_html/knock.php",
        "<?php foreach (['/run/wcp360/agent.sock', '/run/wcp360/php/8.2/owner3.sock', '/run/wcp360/php/8.2/knocker.sock', \
         '/run/wcp360/supervisor.sock', '/run/wcp360/panel/api.sock'] as $s) \
         { $c = @stream_socket_client('unix://'.$s, $e, $m, 1); echo $s, ' ', $c ? 'OPEN' : 'closed', PHP_EOL; }");
    let page = host.fetch("knocker.test", "/knock.php");
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("closed") && !page.body.contains("OPEN"), "{page:?}");
    for socket in ["/run/wcp360/agent.sock", "/run/wcp360/php/8.2/owner3.sock", "/run/wcp360/panel/api.sock"] {
        let connect = format!("import socket; socket.socket(socket.AF_UNIX).connect(\"{socket}\")");
        let command =
            ["setpriv", "--reuid", "knocker", "--regid", "knocker", "--init-groups", "python3", "-c", &connect];
        assert_ne!(host.exec(&command).code, 0, "{socket}");
        assert_eq!(host.exec(&["python3", "-c", &connect]).code, 0, "the control: root can, {socket}");
    }
}

#[test]
fn web_02_names_that_nobody_has_are_rejected() {
    let host = Host::get();
    assert_eq!(host.fetch("nobody-has-this.test", "/").status, 0, "no certificate, no handshake");
    assert_eq!(host.fetch_from("127.0.0.1", "http", "nobody-has-this.test", "/").status, 421);
    for bad in ["..", "../../etc", "a/../b"] {
        let header = format!("Host: {bad}");
        let ended =
            host.exec(&["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", &header, "http://127.0.0.1/"]);
        assert!(["400", "404", "421"].contains(&ended.out.as_str()), "{bad}: {}", ended.out);
    }
    host.create("dotted");
    host.write_as("dotted", "public_html/.env", "SECRET=1");
    host.sh("setpriv --reuid dotted --regid dotted --init-groups mkdir -p /srv/www/dotted/public_html/.git");
    host.write_as("dotted", "public_html/.git/config", "secret");
    host.write_as("dotted", "public_html/notes.txt", "<?php echo 'a text is no program';");
    host.write_as("dotted", "public_html/code.php", "<?php echo 'ran';");
    assert_eq!(host.fetch("dotted.test", "/code.php").body, "ran");
    for path in
        ["/.env", "/.git/config", "/../private/x", "/%2e%2e/private", "//.env", "/notes.txt/x.php", "/missing.php"]
    {
        let page = host.fetch("dotted.test", path);
        assert!(page.status == 404 || page.status == 403 || page.status == 400, "{path}: {page:?}");
        assert!(!page.body.contains("SECRET") && !page.body.contains("<?php"));
    }
}
