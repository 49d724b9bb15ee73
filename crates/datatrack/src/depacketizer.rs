//! depacketizer
