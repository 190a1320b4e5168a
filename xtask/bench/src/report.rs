//! The measurements as Markdown.

use crate::Options;
use crate::provisioning::{Level, machine};
use crate::stats::{Times, ms, ratio};
use std::fmt::Write;
use std::time::Duration;

/// The report.
pub(crate) fn markdown(levels: &[Level], options: &Options) -> String {
    let mut text = about(options);
    let Some(first) = levels.first() else { return text };

    if first.http.is_empty() {
        floors(&mut text, levels);
        return text;
    }
    text.push_str(
        "\nFrom the request to the new site being served, in ms; \"growth\" is against the first row (aim: at most 1.5). \"Done\" and \"deleted\" are when \
         the panel says so, \"gone\" is when a visitor finds a deleted site gone.\n\n\
         | sites | HTTP median | p95 | growth | HTTPS median | p95 | growth | done | deleted | gone | filled at |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for level in levels {
        let rate = level.fill_rate.map_or("–".into(), |rate| format!("{rate:.1}/s"));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {rate} |",
            level.sites,
            ms(level.http.median()),
            ms(level.http.p95()),
            ratio(level.http.median(), first.http.median()),
            ms(level.https.median()),
            ms(level.https.p95()),
            ratio(level.https.median(), first.https.median()),
            ms(level.job.median()),
            ms(level.delete.median()),
            ms(level.gone.median()),
        );
    }

    floors(&mut text, levels);
    reading(&mut text, levels);
    bursts(&mut text, levels);
    text
}

fn floors(text: &mut String, levels: &[Level]) {
    if levels.iter().any(|level| !level.floors.test.is_empty()) {
        text.push_str(
            "\nWhat nginx needs by itself with a file per site, and useradd with as many users, in ms. \"Ours\" is the HTTPS \
             median against test and reload of sites with TLS (below 1: faster than nginx could be told of it).\n\n\
             | sites | `nginx -t` plain | `nginx -t` TLS | reload effective, TLS | test + reload | ours / that | `nginx -t` ours | useradd |\n\
             |---:|---:|---:|---:|---:|---:|---:|---:|\n",
        );
        for level in levels.iter().filter(|level| !level.floors.test.is_empty()) {
            let floors = &level.floors;
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                level.sites,
                ms(floors.test_plain.median()),
                ms(floors.test.median()),
                shown(&floors.reload),
                ms(floors.change()),
                ratio(level.https.median(), floors.change()),
                shown(&floors.own_test),
                ms(floors.useradd.median()),
            );
        }
    }
}

fn reading(text: &mut String, levels: &[Level]) {
    text.push_str(
        "\nReading, in ms (median of 50), comparing all accounts with their manifests, in ms, and resident memory when idle, in MiB.\n\n\
         | sites | list of 100 | list of 1,000 | show | compare all | core | agent | supervisor | core + agent | nginx master | worker |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for level in levels {
        let memory = &level.memory;
        let mib = |value: Option<f64>| value.map_or("–".into(), |v| format!("{v:.0}"));
        let both = memory.core.zip(memory.agent).map(|(core, agent)| core + agent);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            level.sites,
            shown(&level.list),
            shown(&level.list_thousand),
            shown(&level.show),
            shown(&level.compare),
            mib(memory.core),
            mib(memory.agent),
            mib(memory.supervisor),
            mib(both),
            mib(memory.nginx_master),
            mib(memory.nginx_worker),
        );
    }
}

fn bursts(text: &mut String, levels: &[Level]) {
    if levels.iter().any(|level| level.burst.is_some()) {
        text.push_str("\nMany at once (aim: 100 in less than 10 times one).\n\n");
        text.push_str("| sites | at once | all done, ms | one, ms | times one | counters, lists and sites |\n");
        text.push_str("|---:|---:|---:|---:|---:|---|\n");
        for level in levels {
            let Some(burst) = &level.burst else { continue };
            let one = level.job.median();
            let right = match burst.wrong.len() {
                0 => "right".to_owned(),
                several => {
                    format!("{several} wrong: {}", burst.wrong.iter().take(3).cloned().collect::<Vec<_>>().join("; "))
                }
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {right} |",
                level.sites,
                burst.count,
                ms(burst.total),
                ms(one),
                ratio(burst.total, one),
            );
        }
    }
}

fn shown(times: &Times) -> String {
    if times.is_empty() { "–".into() } else { ms(times.median()) }
}

fn about(options: &Options) -> String {
    let machine = machine();
    let say = |name: &str| machine[name].as_str().unwrap_or("unknown").to_owned();
    let pause = Duration::from_millis(2);
    format!(
        "{} ({} CPUs), {}, Linux {}, files on {}; services by {}. {} samples for each number of sites, by visitors who ask \
         every {} ms; load at the end {}.\n",
        say("cpu"),
        machine["cpus"],
        say("memory"),
        say("kernel"),
        options.files,
        say("services"),
        options.samples,
        pause.as_millis(),
        say("load"),
    )
}
