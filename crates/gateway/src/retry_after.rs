//! `Retry-After`: for how long a server wants to be left alone, in seconds or until a date (RFC 9110 section 10.2.3).

use std::time::Duration;

use lethe_http1::ResponseHead;
use lethe_types::Millis;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_SECONDS: u64 = 86_400;
/// Mean length of a Gregorian year, in seconds.
const YEAR_SECONDS: u64 = 31_556_952;

/// What the answer's head says, at the time `now`. A date that has passed is no time at all.
pub(crate) fn retry_after(head: &ResponseHead, now: Millis) -> Option<Duration> {
    wait(std::str::from_utf8(head.headers().get("retry-after")?).ok()?, now)
}

fn wait(value: &str, now: Millis) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = date(value, 1970 + now / 1000 / YEAR_SECONDS)?.saturating_mul(1000);
    Some(Duration::from_millis(until.saturating_sub(now)))
}

/// Seconds from the epoch to an HTTP-date in any of its three forms (RFC 9110 section 5.6.7). The name of the weekday is not looked at: it
/// says nothing that the rest does not.
fn date(text: &str, this_year: u64) -> Option<u64> {
    // The time is written the same in each; a day of one digit has a second space before it in the last form.
    let mut words = [""; 7];
    let mut count = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        *words.get_mut(count)? = word;
        count += 1;
    }
    let (day, month, year, time) = match words.get(..count)? {
        [_, day, month, year, time, "GMT"] => (*day, *month, number(year, 4)?, *time),
        [_, date, time, "GMT"] => {
            let (day, rest) = date.split_once('-')?;
            let (month, year) = rest.split_once('-')?;
            (day, month, nearest(number(year, 2)?, this_year), *time)
        }
        [_, month, day, time, year] => (*day, *month, number(year, 4)?, *time),
        _ => return None,
    };
    let month = (1..).zip(MONTHS).find_map(|(at, name)| (name == month).then_some(at))?;
    let day = number(day, 2).or_else(|| number(day, 1))?;
    let start = days(year, month, 1);
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    let (hour, rest) = time.split_once(':')?;
    let (minute, second) = rest.split_once(':')?;
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    // The 60th second is a leap second.
    if day == 0 || start + day > days(next_year, next_month, 1) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let since_epoch = (start + day - 1).saturating_sub(days(1970, 1, 1));
    Some(since_epoch * DAY_SECONDS + hour * 3600 + minute * 60 + second)
}

/// Exactly `length` digits.
fn number(text: &str, length: usize) -> Option<u64> {
    (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The year with these last two digits that is at most 50 years away: one that appears to be further in the future is past.
const fn nearest(digits: u64, this_year: u64) -> u64 {
    let year = this_year - this_year % 100 + digits;
    match year {
        year if year > this_year + 50 => year - 100,
        year if year + 50 < this_year => year + 100,
        year => year,
    }
}

/// Days since a day long before every date, by Howard Hinnant's `days_from_civil`
/// (<https://howardhinnant.github.io/date_algorithms.html>), whose years begin in March.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    // One era later, so that January of the year 0 has a year before it.
    let year = year + 400 - if month <= 2 { 1 } else { 0 };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lethe_types::Millis;

    use super::{DAY_SECONDS, date, wait};

    /// The moment of the RFC's examples, in milliseconds.
    const EXAMPLE: Millis = 784_111_777_000;

    #[test]
    fn a_date_in_any_of_its_forms_is_a_time_from_now() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(wait(text, EXAMPLE - 7_500), Some(Duration::from_millis(7_500)), "{text}");
            assert_eq!(wait(text, EXAMPLE), Some(Duration::ZERO), "{text}");
            assert_eq!(wait(text, EXAMPLE + DAY_SECONDS * 1000), Some(Duration::ZERO), "{text}: it has passed");
        }
        assert_eq!(wait(" 120 ", EXAMPLE), Some(Duration::from_secs(120)), "and seconds are seconds");
    }

    #[test]
    fn dates_are_the_calendars() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Mon, 28 Feb 2000 23:59:59 GMT", 951_782_399),
            ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Thu, 31 Dec 2026 23:59:60 GMT", 1_798_761_600),
            ("Fri, 01 Jan 2027 00:00:00 GMT", 1_798_761_600),
            ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
            ("Wed, 31 Dec 1969 00:00:00 GMT", 0),
            ("Sat, 01 Jan 0000 00:00:00 GMT", 0),
        ] {
            assert_eq!(date(text, 2026), Some(seconds), "{text}");
        }
    }

    #[test]
    fn two_digits_are_the_nearest_year() {
        let year = |digits: u64, this_year| date(&format!("Sunday, 01-Mar-{digits:02} 00:00:00 GMT"), this_year);
        let full = |year: u64| date(&format!("Sun, 01 Mar {year} 00:00:00 GMT"), 2026);
        for (digits, this_year, expected) in
            [(26, 2026, 2026), (76, 2026, 2076), (77, 2026, 1977), (1, 2099, 2101), (99, 2001, 1999)]
        {
            assert_eq!(year(digits, this_year), full(expected), "{digits} in {this_year}");
        }
    }

    #[test]
    fn what_is_neither_a_number_nor_a_date_says_nothing() {
        for text in [
            "",
            "soon",
            "-1",
            "1.5",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 2100 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994 GMT x y z",
        ] {
            assert_eq!(wait(text, EXAMPLE), None, "{text}");
        }
    }
}
