//! PHP of one account: configuration, bounds, socket.

use crate::account::Account;
use crate::facts::AbsPath;
use crate::resource::{Kind, OnChange, Principal, Removal, Resource, SliceLimits, UnitName};
use crate::{RenderError, paths, templates};
use minijinja::context;
use wcp360_types::limits::Limits;

const MIB: u64 = 1024 * 1024;

pub(crate) fn service(account: &Account<'_>, out: &mut Vec<Resource>) -> Result<(), RenderError> {
    slice(account, out)?;
    let php = &account.set.services.php;
    if !php.enabled || !account.set.limits.features.php {
        return Ok(());
    }
    if !account.facts.php_versions.contains(&php.version) {
        let installed: Vec<_> = account.facts.php_versions.iter().map(|v| v.as_str()).collect();
        return Err(RenderError::PhpVersion { version: php.version.to_string(), installed: installed.join(", ") });
    }
    let dir = AbsPath::parse(&format!("{}/{}", paths::PHP_CONF, account.name))?;
    let unit = UnitName::php_service(&php.version, account.name);
    out.push(Resource::new(Kind::Dir {
        path: dir.clone(),
        owner: Principal::Root,
        group: Principal::Account,
        mode: 0o750,
        removal: Removal::Tree,
    }));
    out.push(Resource::new(Kind::File {
        path: dir.join(&format!("{}.conf", php.version))?,
        content: pool(account)?,
        owner: Principal::Root,
        group: Principal::Account,
        mode: 0o640,
        on_change: Some(OnChange::Restart(unit.clone())),
    }));
    if account.suspended {
        return Ok(());
    }
    let socket = paths::php_socket(&php.version, account.name);
    out.push(Resource::new(Kind::UnitEnabled {
        unit: UnitName::php_socket(&php.version, account.name),
        template: format!("wcp360-php{}@.socket", php.version),
        service: unit,
        socket: AbsPath::parse(&socket)?,
    }));
    out.push(Resource::new(Kind::Symlink {
        path: AbsPath::parse(&format!("{}/php/{}.sock", paths::WEB, account.name))?,
        target: socket,
        owner: Principal::Root,
    }));
    Ok(())
}

/// The php-fpm configuration.
fn pool(account: &Account<'_>) -> Result<String, RenderError> {
    let php = &account.set.services.php;
    let home = &account.home;
    templates::render(
        "php/pool.conf",
        context! {
            account => account.name,
            home => home,
            socket => paths::php_socket(&php.version, account.name),
            max_children => php.pool.max_children,
            memory_limit_mb => php.pool.memory_limit_mb,
            max_execution_seconds => php.pool.max_execution_seconds,
            upload_mb => php.pool.upload_mb,
            // A form has some fields besides the file.
            post_mb => php.pool.upload_mb + 1,
            open_basedir => open_basedir(account)?,
            may_start_programs => account.set.limits.security.php_may_start_programs,
        },
    )
}

/// What PHP may open: what the manifest lists (the whole home directory if it lists nothing), the document roots, `tmp`, and
/// the system's PHP library.
fn open_basedir(account: &Account<'_>) -> Result<String, RenderError> {
    let listed = &account.set.services.php.open_basedir;
    let home = format!("{}/", account.home);
    if listed.is_empty() || listed.iter().any(|dir| dir == ".") {
        return Ok(format!("{home}:/usr/share/php/"));
    }
    let mut dirs: Vec<String> = Vec::new();
    let roots = account.set.domains.sites().map(|(_, site)| site.document_root.as_str());
    for relative in listed.iter().map(String::as_str).chain(roots).chain(["tmp"]) {
        // The slash at the end keeps "public_html2" out of "public_html".
        let dir = format!("{}/", account.home.join(relative)?);
        if !dirs.iter().any(|known| dir.starts_with(known)) {
            dirs.push(dir);
        }
    }
    dirs.push("/usr/share/php/".into());
    Ok(dirs.join(":"))
}

/// Bounds of everything the account runs.
fn slice(account: &Account<'_>, out: &mut Vec<Resource>) -> Result<(), RenderError> {
    let Limits { cpu_percent, memory_mb, processes, io_read_mbps, io_write_mbps, .. } = account.set.limits.limits;
    let mib = |value: Option<u64>| value.map(|v| v.saturating_mul(MIB));
    let limits = SliceLimits {
        // systemd refuses 0, and would take it for "no limit" elsewhere: the smallest value is what comes nearest.
        cpu_percent: cpu_percent.map(|v| v.max(1)),
        memory_bytes: mib(memory_mb.map(|v| v.max(1))),
        tasks: processes.map(|v| v.max(1)),
        read_bytes: mib(io_read_mbps.map(|v| v.max(1))),
        write_bytes: mib(io_write_mbps.map(|v| v.max(1))),
    };
    if limits == SliceLimits::default() {
        return Ok(());
    }
    let unit = UnitName::slice(account.name);
    let dir = AbsPath::parse(&format!("{}/{unit}.d", paths::UNITS))?;
    let content = templates::render(
        "php/slice.conf",
        context! {
            account => account.name,
            disk => account.facts.base_dir,
            cpu_percent => limits.cpu_percent,
            memory_bytes => limits.memory_bytes,
            tasks => limits.tasks,
            read_bytes => limits.read_bytes,
            write_bytes => limits.write_bytes,
        },
    )?;
    out.push(Resource::new(Kind::Dir {
        path: dir.clone(),
        owner: Principal::Root,
        group: Principal::Root,
        mode: 0o755,
        removal: Removal::Tree,
    }));
    out.push(Resource::new(Kind::File {
        path: dir.join("50-limits.conf")?,
        content,
        owner: Principal::Root,
        group: Principal::Root,
        mode: 0o644,
        on_change: Some(OnChange::Limit(unit, limits)),
    }));
    Ok(())
}
