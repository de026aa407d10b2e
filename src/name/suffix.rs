//! Public suffixes (<https://publicsuffix.org>): the names under which others register names of their own.
//!
//! The list is code, and compiled once more for every place that asks it; so it is asked here alone.

use psl::{Info, Psl as _, Type};

use super::NameRef;

/// What the list says of labels that come from the right.
#[inline(never)]
fn find(labels: &mut dyn Iterator<Item = &[u8]>) -> Info {
    psl::List.find(labels)
}

/// The name that somebody registered and under which `name` lies: a public suffix and one label. `None` where `name` is a
/// suffix itself, or the root.
pub fn registrable_domain(name: NameRef<'_>) -> Option<NameRef<'_>> {
    let labels: Vec<&[u8]> = name.labels().collect();
    let suffix = find(&mut labels.iter().rev().copied());
    let mut length = 0;
    let fits = |label: &&&[u8]| {
        length += label.len() + 1;
        length <= suffix.len + 1
    };
    let count = labels.iter().rev().take_while(fits).count();
    let below = labels.len().checked_sub(count + 1).filter(|_| 0 < count)?;
    name.ancestors().nth(below)
}

/// Whether labels, from the right, are together a suffix of the registries (`co.uk`) and not one of a company (`github.io`).
pub fn is_of_registry(labels: &[&[u8]]) -> bool {
    let length = labels.iter().map(|label| label.len()).sum::<usize>() + labels.len().saturating_sub(1);
    let suffix = find(&mut labels.iter().copied());
    suffix.typ == Some(Type::Icann) && suffix.len == length
}

/// Whether there is a top-level domain of this name.
pub fn is_top_level(label: &[u8]) -> bool {
    find(&mut std::iter::once(label)).typ.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::DomainName;

    #[track_caller]
    fn check(name: &str, expected: Option<&str>) {
        let name = DomainName::parse(name).unwrap();
        let found = registrable_domain(name.as_ref()).map(|domain| domain.to_string());
        assert_eq!(found.as_deref(), expected, "{name}");
    }

    #[test]
    fn the_registrable_domain_is_a_suffix_and_one_label() {
        check("a.b.shop.co.uk", Some("shop.co.uk"));
        check("shop.co.uk", Some("shop.co.uk"));
        check("co.uk", None);
        check("uk", None);
        assert!(registrable_domain(DomainName::root().as_ref()).is_none());
        check("a.user.github.io", Some("user.github.io"));
        check("github.io", None);
        // A wildcard of the list, and an exception to it.
        check("a.b.c.kawasaki.jp", Some("b.c.kawasaki.jp"));
        check("a.city.kawasaki.jp", Some("city.kawasaki.jp"));
        // What no list knows ends with its last label.
        check("tv.living.nowhere", Some("living.nowhere"));
        check("nowhere", None);
    }

    #[test]
    fn what_is_a_suffix_is_known() {
        assert!(is_of_registry(&[b"uk", b"co"]) && !is_of_registry(&[b"io", b"github"]));
        assert!(!is_of_registry(&[b"uk", b"shop"]));
        assert!(is_top_level(b"com") && !is_top_level(b"gif"));
    }
}
