//! Packets
