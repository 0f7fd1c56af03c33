//! Whether it is light outside: how high the sun stands, from place and time.

use chrono::{DateTime, Utc};

/// Seconds from 1970 to the noon that the formula counts from, 2000-01-01 12:00.
const EPOCH: i64 = 946_728_000;

/// The sun's altitude over the horizon, degrees, good to a few hundredths of a degree in this century (The Astronomical
/// Almanac's low-precision formulas; refraction is left out).
pub fn sun_altitude(lat: f64, lon: f64, utc: DateTime<Utc>) -> f64 {
    let days = (utc.timestamp() - EPOCH) as f64 / 86_400.0;
    let anomaly = (357.529 + 0.985_600_28 * days).to_radians();
    let mean = 280.459 + 0.985_647_36 * days;
    let longitude = (mean + 1.915 * anomaly.sin() + 0.020 * (2.0 * anomaly).sin()).to_radians();
    let tilt = (23.439 - 0.000_000_36 * days).to_radians();
    let right_ascension = (tilt.cos() * longitude.sin()).atan2(longitude.cos());
    let declination = (tilt.sin() * longitude.sin()).asin();
    let sidereal = (18.697_374_558 + 24.065_709_824_419_08 * days) * 15.0;
    let hour = (sidereal + lon).to_radians() - right_ascension;
    let lat = lat.to_radians();
    (lat.sin() * declination.sin() + lat.cos() * declination.cos() * hour.cos()).asin().to_degrees()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sunrise_and_sunset_are_when_almanacs_have_them() {
        // Published times to the minute; at them the upper rim, lifted by the air, touches the horizon: -0.83 degrees.
        for (lat, lon, utc) in [
            (51.5074, -0.1278, "2026-06-21T03:43:00Z"),
            (51.5074, -0.1278, "2026-06-21T20:21:00Z"),
            (51.5074, -0.1278, "2026-12-21T08:04:00Z"),
            (-33.8688, 151.2093, "2026-12-21T18:41:00Z"),
        ] {
            let altitude = sun_altitude(lat, lon, utc.parse().expect("a time"));
            assert!((altitude + 0.83).abs() < 0.3, "{utc} at {lat}, {lon}: {altitude:.2}");
        }
        let noon = sun_altitude(0.0, 0.0, "2026-03-20T12:07:00Z".parse().expect("a time"));
        assert!(noon > 89.0, "{noon}");
        assert!(sun_altitude(51.5, 0.0, "2026-06-21T00:00:00Z".parse().expect("a time")) < -10.0);
    }
}
