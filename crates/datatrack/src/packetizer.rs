//! packetizer
