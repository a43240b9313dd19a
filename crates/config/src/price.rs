//! Prices: exact decimals, never floating point.

use serde::Deserialize;
use toml::Spanned;

use crate::check::Check;

/// Digits that a price may have after the point.
const SCALE: u32 = 9;

/// An exact, non-negative amount of money: billionths of the currency's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(u128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Billionths of the currency's unit.
    #[must_use]
    pub const fn nano_units(self) -> u128 {
        self.0
    }

    /// Parses `"0.25"`.
    ///
    /// ```
    /// use lethe_config::Amount;
    /// assert_eq!(Amount::parse("0.25").map(Amount::nano_units), Some(250_000_000));
    /// assert_eq!(Amount::parse("1e3"), None);
    /// assert_eq!(Amount::parse("-1"), None);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let fraction_digits = u32::try_from(fraction.len()).ok()?;
        if whole.is_empty() || whole.len() > 12 || fraction_digits > SCALE || !digits(whole) || !digits(fraction) {
            return None;
        }
        let number: u128 = format!("{whole}{fraction}").parse().ok()?;
        Some(Self(number * 10u128.pow(SCALE - fraction_digits)))
    }
}

/// What a model costs its callers. Parsed and checked; nothing is billed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// ISO 4217 code, such as `USD`.
    pub currency: String,
    /// For a million input tokens.
    pub input_per_million: Amount,
    /// For a million output tokens.
    pub output_per_million: Amount,
}

impl Price {
    /// A million input and a million output tokens together, in millionths of the currency's unit, rounded up.
    ///
    /// ```
    /// use lethe_config::{Amount, Price};
    /// let amount = |text| Amount::parse(text).unwrap_or(Amount::ZERO);
    /// let price = Price { currency: "USD".into(), input_per_million: amount("0.25"), output_per_million: amount("2.0000001") };
    /// assert_eq!(price.together(), Some(2_250_001));
    /// ```
    #[must_use]
    pub fn together(&self) -> Option<u64> {
        u64::try_from((self.input_per_million.0 + self.output_per_million.0).div_ceil(1000)).ok()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilePrice {
    currency: Spanned<String>,
    input_per_million: Spanned<String>,
    output_per_million: Option<Spanned<String>>,
}

impl FilePrice {
    /// Where it stands.
    pub(crate) fn span(&self) -> std::ops::Range<usize> {
        self.currency.span()
    }

    pub(crate) fn checked(&self, check: &mut Check<'_>) -> Option<Price> {
        let currency = self.currency.get_ref();
        if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            check.problem(self.currency.span(), "a currency is three capital letters (ISO 4217): write currency = \"USD\"");
            return None;
        }
        let mut amount = |written: &Spanned<String>| {
            let amount = Amount::parse(written.get_ref());
            let message = || "a price is a decimal in quotes, with at most 9 digits after the point: write \"0.25\"".to_owned();
            check.take(written.span(), amount.ok_or_else(message))
        };
        let input_per_million = amount(&self.input_per_million);
        let output_per_million = self.output_per_million.as_ref().map_or(Some(Amount::ZERO), amount);
        Some(Price { currency: currency.clone(), input_per_million: input_per_million?, output_per_million: output_per_million? })
    }
}
