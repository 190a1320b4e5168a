//! Where requests come from, brought into forms that can be compared.

use std::net::IpAddr;
use wcp360_store::logins::Place;
use wcp360_types::Network;

/// Characters of a user agent that are kept.
const AGENT: usize = 200;

/// What counts as one address: IPv4 as it is, of IPv6 the /64 that one household or server has, anything else as it is.
pub(crate) fn bucket(source: &str) -> String {
    match source.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_) => source.chars().take(64).collect(),
    }
}

/// Whether a request came from the machine itself: directly, or through nginx over loopback.
pub(crate) fn is_local(source: &str) -> bool {
    source == "local" || source.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether a source lies in one of the networks. The machine itself has its loopback addresses.
pub(crate) fn lies_in(source: &str, networks: &[Network]) -> bool {
    let addresses: Vec<IpAddr> = match source {
        "local" => vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])],
        text => text.parse().into_iter().collect(),
    };
    addresses.iter().any(|address| networks.iter().any(|network| network.contains(*address)))
}

/// A place from what a request says: what it says about its program is cut and cleaned, as it is shown to people later.
pub(crate) fn place(source: &str, user_agent: &str) -> Place {
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let user_agent: String = user_agent.chars().take(AGENT).map(plain).collect();
    let user_agent = user_agent.trim().to_owned();
    // An update of a browser is not another browser.
    let agent = user_agent.chars().filter(|c| !c.is_ascii_digit() && *c != '.').collect();
    Place { source: source.to_owned(), network: bucket(source), user_agent, agent }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_04_addresses_are_counted_by_who_has_them() {
        for (source, counted) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("local", "local"),
            ("unknown", "unknown"),
        ] {
            assert_eq!(bucket(source), counted);
        }
        assert!(["local", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"].iter().all(|s| is_local(s)));
        assert!(!["192.0.2.7", "unknown", "", "128.0.0.1"].iter().any(|s| is_local(s)));
    }

    #[test]
    fn sec_03_networks_hold_sources() {
        let networks = |list: &[&str]| list.iter().map(|text| Network::parse(text).unwrap()).collect::<Vec<_>>();
        let office = networks(&["203.0.113.0/24", "2001:db8::/32"]);
        for (source, inside) in [
            ("203.0.113.9", true),
            ("::ffff:203.0.113.9", true),
            ("2001:db8::9", true),
            ("203.0.114.9", false),
            ("local", false),
            ("unknown", false),
            ("", false),
        ] {
            assert_eq!(lies_in(source, &office), inside, "{source}");
        }
        assert!(lies_in("local", &networks(&["127.0.0.0/8"])) && lies_in("local", &networks(&["::1"])));
        assert!(!lies_in("203.0.113.9", &[]), "an empty list holds nothing");
    }

    #[test]
    fn sec_02_user_agents_are_cut_and_cleaned() {
        let told = place("192.0.2.7", &format!("A/1.2\r\nX: <b>\u{202e}é\0{}", "x".repeat(1000)));
        assert!(told.user_agent.starts_with("A/1.2??X: <b>???xxx"), "{told:?}");
        assert_eq!(told.user_agent.len(), AGENT);
        let (old, new) = (place("x", "Mozilla/5.0 Firefox/128.0"), place("x", "Mozilla/5.0 Firefox/129.1"));
        assert_eq!(old.agent, new.agent);
        assert_ne!(old.user_agent, new.user_agent);
    }
}
