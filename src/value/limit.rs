//! A value that can be switched off.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// A cap that may be `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit<T> {
    /// No cap.
    Off,
    /// The cap.
    On(T),
}

impl<T> Limit<T> {
    /// The cap, or `None` when it is off.
    pub fn on(self) -> Option<T> {
        match self {
            Self::Off => None,
            Self::On(value) => Some(value),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Limit<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(from)?;
        if value == "off" {
            return Ok(Self::Off);
        }
        T::deserialize(value).map(Self::On).map_err(serde::de::Error::custom)
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for Limit<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("{}-or-off", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let value = generator.subschema_for::<T>();
        schemars::json_schema!({ "anyOf": [{ "const": "off" }, value] })
    }
}
