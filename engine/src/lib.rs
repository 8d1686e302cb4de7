//! What Zonewright does once per query or once per record.
