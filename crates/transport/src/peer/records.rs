//! Counts datagrams that did not arrive, by the sequence numbers of DTLS records.

/// Bytes of a record's header: type, version, epoch, number, length (RFC 6347, section 4.1). DTLS 1.3 encrypts the
/// number and has another first byte. Such records are not counted.
const HEADER: usize = 13;
/// `change_cipher_spec` to `heartbeat`.
const TYPES: std::ops::RangeInclusive<u8> = 20..=24;
/// The first byte of the version, in all versions before 1.3.
const VERSION: u8 = 0xfe;
/// A number that is further ahead than this is not the peer's: the header is not protected on its own.
const FARTHEST: u64 = 1 << 16;

/// Counts gaps in the numbers of the records that arrived. Within an epoch each record's number is one higher than the
/// last. So a missing number was sent and lost, or never sent.
#[derive(Debug, Default)]
pub(super) struct Records {
    epoch: u16,
    newest: Option<u64>,
    missing: u64,
}

impl Records {
    /// Records that are missing so far. A record that comes out of order is missing until it arrives. A repeated record
    /// that is not the newest hides one that is missing.
    pub(super) const fn missing(&self) -> u64 {
        self.missing
    }

    /// A datagram arrived. It may hold several records.
    pub(super) fn handle_datagram(&mut self, datagram: &[u8]) {
        let mut rest = datagram;
        while let Some((&[kind, version, _, e1, e2, n1, n2, n3, n4, n5, n6, l1, l2], records)) =
            rest.split_first_chunk::<HEADER>()
        {
            if !TYPES.contains(&kind) || version != VERSION {
                return;
            }
            let number = u64::from_be_bytes([0, 0, n1, n2, n3, n4, n5, n6]);
            self.handle_record(u16::from_be_bytes([e1, e2]), number);
            let Some(next) = records.get(usize::from(u16::from_be_bytes([l1, l2]))..) else { return };
            rest = next;
        }
    }

    fn handle_record(&mut self, epoch: u16, number: u64) {
        // Handshake records are sent again under new numbers, and they carry no application data.
        if epoch == 0 || epoch < self.epoch {
            return;
        }
        if epoch > self.epoch {
            self.epoch = epoch;
            self.newest = None;
        }
        let Some(newest) = self.newest else {
            self.newest = Some(number);
            return;
        };
        match number.checked_sub(newest) {
            Some(ahead) if (1..=FARTHEST).contains(&ahead) => {
                self.missing += ahead - 1;
                self.newest = Some(number);
            }
            Some(_) => {}
            None => self.missing = self.missing.saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of application data.
    fn record(epoch: u16, number: u64) -> Vec<u8> {
        let mut record = vec![23, VERSION, 0xfd];
        record.extend(epoch.to_be_bytes());
        record.extend(&number.to_be_bytes()[2..]);
        record.extend([0, 4, 1, 2, 3, 4]);
        record
    }

    fn missing(numbers: impl IntoIterator<Item = u64>) -> u64 {
        let mut records = Records::default();
        for number in numbers {
            records.handle_datagram(&record(1, number));
        }
        records.missing()
    }

    #[test]
    fn gaps_count_and_what_comes_late_does_not() {
        assert_eq!(missing(5..100), 0);
        assert_eq!(missing([1, 2, 4, 5, 9]), 4);
        assert_eq!(missing([1, 4, 2, 3, 5]), 0);
        assert_eq!(missing([1, 1, 2]), 0);
    }

    #[test]
    fn each_epoch_counts_from_its_start() {
        let mut records = Records::default();
        for (epoch, number) in [(0, 0), (0, 7), (1, 3), (1, 5), (2, 0), (1, 9), (2, 2)] {
            records.handle_datagram(&record(epoch, number));
        }
        assert_eq!(records.missing(), 2);
    }

    #[test]
    fn a_datagram_may_hold_several() {
        let mut records = Records::default();
        records.handle_datagram(&[record(1, 1), record(1, 2), record(1, 4)].concat());
        assert_eq!(records.missing(), 1);
    }

    #[test]
    fn what_is_no_record_counts_nothing() {
        let mut records = Records::default();
        records.handle_datagram(&record(1, 1));
        let far = record(1, 1 << 40);
        let short = record(1, 9)[..HEADER - 1].to_vec();
        let mut stun = record(1, 9);
        stun[0] = 1;
        let mut newer = record(1, 9);
        newer[1] = 0x2f;
        for datagram in [far, short, stun, newer, vec![]] {
            records.handle_datagram(&datagram);
        }
        assert_eq!(records.missing(), 0);
        // The length in its header is more than the datagram holds.
        let mut long = record(1, 3);
        long[12] = 200;
        records.handle_datagram(&long);
        assert_eq!(records.missing(), 1);
    }
}
