//! Every word of the document by its `format`, so that all are checked at their place.

use super::check::Words;
use super::server;
use crate::value::{self, Problem, Word};
use crate::{expr, filter, listener, net, observe, route, upstream};

/// The checks of all words.
pub(super) const WORDS: Words<'static> = &[
    word::<value::ByteRate>(),
    word::<value::Duration>(),
    word::<value::Factor>(),
    word::<value::FieldName>(),
    word::<value::Method>(),
    word::<value::Regex>(),
    word::<value::Share>(),
    word::<value::Size>(),
    word::<expr::Template>(),
    word::<filter::rewrite::Prefix>(),
    word::<listener::Address>(),
    word::<net::Cidr>(),
    word::<observe::access::Destination>(),
    word::<observe::access::Line>(),
    word::<route::HostPattern>(),
    word::<route::PathPattern>(),
    word::<route::TextPattern>(),
    word::<server::Via>(),
    word::<upstream::FailureKind>(),
    word::<upstream::Host>(),
    word::<upstream::Name>(),
    word::<upstream::Resolver>(),
    word::<upstream::Sni>(),
    word::<upstream::Url>(),
    word::<upstream::affinity::Domain>(),
    word::<upstream::affinity::Name>(),
    word::<upstream::affinity::Path>(),
    word::<upstream::health::Path>(),
    word::<upstream::health::StatusRange>(),
];

type Check = fn(&str) -> Result<(), Problem>;

const fn word<W: Word>() -> (&'static str, Check) {
    (W::FORMAT, |text| text.parse::<W>().map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn formats(schema: &Value, found: &mut BTreeSet<String>) {
        match schema {
            Value::Object(map) => {
                if let Some(Value::String(format)) = map.get("format") {
                    found.insert(format.clone());
                }
                map.values().for_each(|value| formats(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| formats(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_word_of_the_schema_is_checked() {
        let mut found = BTreeSet::new();
        formats(crate::config::schema(), &mut found);
        // Paths and plain numbers are no words.
        for other in ["path", "int32", "uint", "uint16", "uint32", "uint64"] {
            found.remove(other);
        }
        let known: BTreeSet<_> = WORDS.iter().map(|(format, _)| (*format).to_owned()).collect();
        assert_eq!(found, known);
    }
}
