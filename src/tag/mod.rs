//! Place and trusted time for every read, from NMEA.
