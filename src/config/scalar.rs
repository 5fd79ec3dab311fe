//! What a plain scalar is.

use super::tree::Value;

/// The core schema of YAML 1.2; `.inf` and `.nan` stay text, for no field means them.
pub(super) fn typed(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match number(text) {
            Some(number) => Value::Number(number),
            None => Value::String(text.into()),
        },
    }
}

fn number(text: &str) -> Option<serde_json::Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') || !is_decimal(unsigned) {
        return None;
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    text.parse().ok().and_then(serde_json::Number::from_f64)
}

fn radix(digits: &str, radix: u32) -> Option<serde_json::Number> {
    // The standard parser would take a sign, YAML does not.
    let plain = !digits.starts_with(['+', '-']);
    plain.then(|| u64::from_str_radix(digits, radix).ok()).flatten().map(Into::into)
}

/// Digits with at most one dot and one exponent, and at least one digit before the exponent.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn as_json(text: &str) -> serde_json::Value {
        match typed(text) {
            Value::Null => json!(null),
            Value::Bool(value) => json!(value),
            Value::Number(value) => json!(value),
            Value::String(value) => json!(value),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for (text, meant) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("Null", json!(null)),
            ("TRUE", json!(true)),
            ("false", json!(false)),
            ("12", json!(12)),
            ("+12", json!(12)),
            ("-12", json!(-12)),
            ("012", json!(12)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("99999999999999999999", json!(1e20)),
        ] {
            assert_eq!(as_json(text), meant, "{text}");
        }
    }

    #[test]
    fn what_only_resembles_a_number_is_text() {
        for text in [
            "on",
            "off",
            "yes",
            "no",
            "nULL",
            "1_000",
            "1.2.3",
            "12:30",
            ".",
            "-",
            "+",
            "1e",
            "0x",
            "0x+1",
            "--1",
            ".inf",
            ".nan",
            "inf",
            "NaN",
            "infinity",
            "e5",
            "10.0.0.0/8",
            "5s",
        ] {
            assert_eq!(as_json(text), json!(text));
        }
    }
}
