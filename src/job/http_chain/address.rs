//! Which addresses may be called: not those where a cloud hands out the credentials of a machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Metadata services that are not link-local: of AWS by IPv6, of Google by IPv6, of Alibaba and of Oracle.
const METADATA: [IpAddr; 4] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Whether it is link-local or that of a metadata service, also as an IPv4 address inside an IPv6 one.
pub(super) fn is_refused(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local() || METADATA.contains(&IpAddr::V4(address)),
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.segments();
            let inner = |high: u16, low: u16| {
                let [[w, x], [y, z]] = [high.to_be_bytes(), low.to_be_bytes()];
                is_refused(IpAddr::V4(Ipv4Addr::new(w, x, y, z)))
            };
            // Mapped and compatible, translated (NAT64), and tunnelled (6to4).
            let mapped = [a, b, c, d, e] == [0; 5] && (f == 0xffff || f == 0) && inner(g, h);
            let translated = [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0] && inner(g, h);
            let tunnelled = a == 0x2002 && inner(b, c);
            a & 0xffc0 == 0xfe80 || METADATA.contains(&IpAddr::V6(address)) || mapped || translated || tunnelled
        }
    }
}

/// Whether the URL names an address that is refused. Names are looked at when they are resolved.
pub(super) fn refused_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_refused(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_refused(IpAddr::V6(address)),
        Some(Host::Domain(_)) | None => false,
    }
}

/// Whether the URL names this machine itself.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// A name that stands for refused addresses alone.
#[derive(Debug)]
pub(super) struct RefusedAddress(String);

impl std::fmt::Display for RefusedAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` stands for a link-local address, where clouds keep the credentials of a machine", self.0)
    }
}

impl std::error::Error for RefusedAddress {}

/// Resolves names as the system does, without the addresses that are refused.
#[derive(Debug)]
pub(super) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            allowed(name.as_str(), found.collect()).map_err(Into::into)
        })
    }
}

fn allowed(name: &str, mut found: Vec<SocketAddr>) -> Result<Addrs, RefusedAddress> {
    let all = found.len();
    found.retain(|address| !is_refused(address.ip()));
    match found.is_empty() && all > 0 {
        true => Err(RefusedAddress(name.to_string())),
        false => Ok(Box::new(found.into_iter())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_credentials_are_refused_in_whatever_they_are_wrapped() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
            "192.0.0.192",
        ] {
            assert!(is_refused(address.parse().expect("an address")), "{address}");
        }
        for address in ["127.0.0.1", "10.0.0.1", "169.253.255.255", "8.8.8.8", "::1", "fec0::1", "2001:db8::1", "::ffff:8.8.8.8"]
        {
            assert!(!is_refused(address.parse().expect("an address")), "{address}");
        }
    }

    #[test]
    fn a_url_is_read_before_it_is_looked_at() {
        for url in [
            "http://169.254.169.254/",
            "http://2852039166/",
            "http://0xA9FEA9FE/",
            "http://169.254.43518/",
            "http://[::ffff:a9fe:a9fe]/",
        ] {
            assert!(refused_host(&Url::parse(url).expect("a URL")), "{url}");
        }
        assert!(!refused_host(&Url::parse("http://metadata.example/").expect("a URL")));
        for (url, is) in [
            ("http://localhost:1/", true),
            ("http://a.localhost/", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]/", true),
            ("http://localhost.example/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).expect("a URL")), is, "{url}");
        }
    }

    #[test]
    fn a_name_keeps_the_addresses_that_are_allowed() {
        let address = |text: &str| SocketAddr::new(text.parse().expect("an address"), 0);
        assert!(allowed("a", vec![address("169.254.169.254")]).is_err());
        let kept: Vec<_> = allowed("a", vec![address("169.254.169.254"), address("10.0.0.1")]).expect("one is left").collect();
        assert_eq!(kept, [address("10.0.0.1")]);
        assert_eq!(allowed("a", Vec::new()).expect("none is no refusal").count(), 0);
    }
}
