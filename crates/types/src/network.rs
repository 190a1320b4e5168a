//! Networks: which addresses something may be used from (SEC-03).

use crate::ValueError;
use ipnet::{IpNet, Ipv4Net};
use std::net::IpAddr;

/// A range of addresses in CIDR notation (RFC 4632, RFC 4291), or one address.
///
/// It is kept in one form: without bits behind the prefix, and IPv6 addresses that hold an IPv4 one (`::ffff:0:0/96`) as IPv4,
/// so that two spellings of a range are equal and none slips past a comparison.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

impl Network {
    /// Reads `203.0.113.0/24`, `2001:db8::/32` or one address.
    ///
    /// # Errors
    /// It is neither, or a range that holds every address.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let net = match text.parse::<IpNet>() {
            Ok(net) => net,
            Err(_) => text.parse::<IpAddr>().map(IpNet::from).map_err(|_| {
                let shown: String = text.chars().take(64).collect();
                ValueError::new(format!("{shown:?} is not a network"), "use e.g. 203.0.113.0/24 or 2001:db8::1")
            })?,
        };
        let net = canonical(net.trunc());
        if net.prefix_len() == 0 {
            let remedy = "name a smaller one, or leave the list out to allow every address";
            return Err(ValueError::new(format!("{text:?} holds every address"), remedy));
        }
        Ok(Self(net))
    }

    /// Whether an address lies in it. An IPv4 address inside an IPv6 one counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether all of another network lies in it.
    pub fn covers(&self, other: &Network) -> bool {
        self.0.contains(&other.0)
    }
}

/// IPv4 where IPv6 only carries it.
fn canonical(net: IpNet) -> IpNet {
    if let IpNet::V6(six) = net
        && six.prefix_len() >= 96
        && let Some(four) = six.addr().to_ipv4_mapped()
        && let Ok(four) = Ipv4Net::new(four, six.prefix_len() - 96)
    {
        return IpNet::V4(four);
    }
    net
}

impl std::fmt::Display for Network {
    /// One address without a prefix length, as people write it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            return self.0.addr().fmt(f);
        }
        self.0.fmt(f)
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Network({self})")
    }
}

impl std::str::FromStr for Network {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Network {
    type Error = ValueError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Network> for String {
    fn from(network: Network) -> String {
        network.to_string()
    }
}

impl schemars::JsonSchema for Network {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Network".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "maxLength": 64,
            "description": "A range of addresses in CIDR notation, or one address.",
            "examples": ["203.0.113.0/24", "2001:db8::/32"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sec_03_networks_have_one_form() {
        for (text, form) in [
            ("203.0.113.7", "203.0.113.7"),
            ("203.0.113.7/32", "203.0.113.7"),
            ("203.0.113.7/24", "203.0.113.0/24"),
            ("2001:DB8:0::1/32", "2001:db8::/32"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
        ] {
            assert_eq!(Network::parse(text).unwrap().to_string(), form, "{text}");
        }
        for bad in [
            "",
            "x",
            "203.0.113.0/33",
            "203.0.113",
            "0.0.0.0/0",
            "::/0",
            "1.2.3.4/24\n",
            "::ffff:0:0/96",
            "fe80::1%eth0",
        ] {
            assert!(Network::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sec_03_an_address_counts_in_both_spellings() {
        let office = Network::parse("203.0.113.0/24").unwrap();
        for (address, inside) in
            [("203.0.113.9", true), ("::ffff:203.0.113.9", true), ("203.0.114.1", false), ("2001:db8::1", false)]
        {
            assert_eq!(office.contains(address.parse().unwrap()), inside, "{address}");
        }
        assert!(office.covers(&Network::parse("203.0.113.128/25").unwrap()));
        assert!(!Network::parse("203.0.113.128/25").unwrap().covers(&office));
        assert!(!office.covers(&Network::parse("2001:db8::1").unwrap()));
    }

    proptest! {
        #[test]
        fn sec_03_what_is_printed_reads_back(bits in any::<u128>(), prefix in 1u8..=128) {
            let text = format!("{}/{prefix}", std::net::Ipv6Addr::from(bits));
            if let Ok(network) = Network::parse(&text) {
                prop_assert_eq!(Network::parse(&network.to_string()).unwrap(), network);
                prop_assert!(network.contains(std::net::Ipv6Addr::from(bits).into()));
            }
        }
    }
}
