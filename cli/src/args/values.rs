//! Values of arguments: how they are parsed.

use std::ffi::OsStr;
use std::num::{IntErrorKind, NonZeroUsize, ParseIntError};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue};
use engine::{LoraPlan, OutputType, TensorType};

pub(super) fn output_type() -> impl TypedValueParser<Value = OutputType> {
    let names = PossibleValuesParser::new(OutputType::ALL.map(OutputType::as_str));
    OutputTypeParser(names.try_map(|name| name.to_lowercase().parse::<OutputType>()))
}

/// A parser of output types with white space around them, as after a comma. Of the types that begin with an unknown value, such as
/// `q4_k`, it suggests the medium mixture, which llama-quantize takes for it.
#[derive(Debug, Clone)]
struct OutputTypeParser<P>(P);

impl<P: TypedValueParser> TypedValueParser for OutputTypeParser<P> {
    type Value = P::Value;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let trimmed = value.to_str().map_or(value, |text| OsStr::new(text.trim()));
        self.0.parse_ref(command, arg, trimmed).map_err(|mut error| {
            let medium = trimmed.to_str().map(|text| format!("{}_m", text.to_lowercase()));
            if let Some(medium) = medium.filter(|name| name.parse::<OutputType>().is_ok()) {
                error.insert(ContextKind::SuggestedValue, ContextValue::String(medium));
            }
            error
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        self.0.possible_values()
    }
}

/// Parses `4G`, `7.5GB`, `500M`, `100K`, `4GiB` or a number of bytes. K, M, G and T are powers of 1000, Ki, Mi, Gi and Ti of 1024.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[number.len()..].to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (prefix, base) = unit.strip_suffix('i').map_or((unit, 1000_u64), |prefix| (prefix, 1024));
    let power = match prefix {
        "" if base == 1000 => Some(0),
        "k" => Some(1),
        "m" => Some(2),
        "g" => Some(3),
        "t" => Some(4),
        _ => None,
    };
    let size = power.and_then(|power| bytes(number.trim_end(), base.pow(power))).filter(|bytes| *bytes > 0);
    size.ok_or_else(|| {
        "give a positive number of bytes, or one with K, M, G or T, such as 4G or 7.5GB".to_owned()
    })
}

/// A decimal number of units, rounded down to whole bytes.
fn bytes(number: &str, unit: u64) -> Option<u64> {
    const DIGITS: usize = 9;
    let (whole, fraction) = number.split_once('.').filter(|_| unit > 1).unwrap_or((number, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > DIGITS {
        return None;
    }
    let fraction =
        format!("{fraction:0<DIGITS$}").parse::<u128>().ok()? * u128::from(unit) / 10_u128.pow(DIGITS as u32);
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(u64::try_from(fraction).ok()?)
}

/// Parses a number from 1.
pub(super) fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|error: ParseIntError| match *error.kind() == IntErrorKind::Zero {
        true => "must be 1 or more".to_owned(),
        false => error.to_string(),
    })
}

/// Parses a share from 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "give a number from 0 to 1, such as 0.9".to_owned())
}

pub(super) fn factor_type() -> impl TypedValueParser<Value = TensorType> {
    let named = |name: &str| LoraPlan::TYPES.into_iter().find(|t| t.as_str().eq_ignore_ascii_case(name));
    PossibleValuesParser::new(["f32", "f16", "bf16", "q8_0"])
        .try_map(move |name| named(&name).ok_or("unknown type"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_medium_mixture_is_suggested_for_a_type_without_a_size() {
        let command = clap::Command::new("gguf").arg(clap::Arg::new("quant").value_parser(output_type()));
        let refused = |value| {
            let parsed = command.clone().try_get_matches_from(["gguf", value]);
            parsed.unwrap_err().to_string()
        };
        for (value, similar) in
            [("q4_k", "q4_k_m"), ("Q3_K", "q3_k_m"), (" q5_k", "q5_k_m"), ("q6_", "q6_k"), ("q8", "q8_0")]
        {
            let message = refused(value);
            assert!(message.contains(&format!("a similar value exists: '{similar}'")), "{message}");
        }
        assert!(!refused("gigantic").contains("similar"));
    }

    #[test]
    fn counts_begin_with_1() {
        assert_eq!(count("1").map(NonZeroUsize::get), Ok(1));
        assert_eq!(count("0").unwrap_err(), "must be 1 or more");
        assert_eq!(count("x").unwrap_err(), "invalid digit found in string");
    }

    #[test]
    fn shares_are_from_0_to_1() {
        assert_eq!(["0", "0.9", "1"].map(|text| share(text).unwrap()), [0.0, 0.9, 1.0]);
        assert!(["", "-0.1", "1.1", "90", "NaN"].iter().all(|text| share(text).is_err()));
    }

    #[test]
    fn sizes_have_units_of_1000_or_1024_and_fractions() {
        let sizes = ["4G", "500m", "7", "7.5GB", "1.5MB", "2 GB", "1TB", "1MiB", "0.5Gi", "1.000000001G"];
        let expected = [
            4_000_000_000,
            500_000_000,
            7,
            7_500_000_000,
            1_500_000,
            2_000_000_000,
            1_000_000_000_000,
            1 << 20,
            1 << 29,
            1_000_000_001,
        ];
        assert_eq!(sizes.map(|text| size(text).unwrap()), expected);
        let wrong = [
            "",
            "G",
            "0M",
            "-1",
            "4X",
            "99999999999G",
            "1.",
            ".5G",
            "1.5.5G",
            "1e9",
            "4i",
            "0.1",
            "1,5G",
            "NaN",
            "1.5",
        ];
        assert!(wrong.iter().all(|text| size(text).is_err()), "{:?}", wrong.map(size));
    }
}
