//! Gateways, connections and control, one step at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lethe_link::frame::Frame;
use lethe_link::{Courier, Decoder, Down, Outbox, Permit, Up};
use lethe_store::Delivery;
use lethe_types::{AccountPseudonym, Operation, RouteId};
use lethe_usage::{InstanceId, Kind, Quality, UnitClass, Usage, UsageRecord};

use crate::ledger::Ledger;

const GATEWAYS: usize = 2;
const STEPS: usize = 400;
const CAPACITY: usize = 24;
/// A hello with its header.
const HELLO_BYTES: usize = 28;
/// Rounds without faults in which everything has to arrive.
const CALM: usize = 50;

/// A mistake made on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mutation {
    #[default]
    None,
    /// Control acknowledges before it commits.
    AcknowledgeFirst,
    /// Control forgets how many requests had begun.
    ForgetCounters,
    /// Control books what comes again.
    NoDeduplication,
    /// A new connection begins after the newest record.
    SendFromTheEnd,
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Statistics {
    pub(crate) duplicates: u64,
    pub(crate) cuts: u64,
    pub(crate) control_crashes: u64,
    pub(crate) gateway_crashes: u64,
    /// Bytes of a connection that the gateway had given up were read after it had another.
    pub(crate) late: u64,
    pub(crate) unaccounted: u64,
    /// Control died between commit and acknowledgement.
    pub(crate) lost_acks: u64,
    pub(crate) records: u64,
}

impl std::ops::AddAssign for Statistics {
    fn add_assign(&mut self, other: Self) {
        self.duplicates += other.duplicates;
        self.cuts += other.cuts;
        self.control_crashes += other.control_crashes;
        self.gateway_crashes += other.gateway_crashes;
        self.late += other.late;
        self.unaccounted += other.unaccounted;
        self.lost_acks += other.lost_acks;
        self.records += other.records;
    }
}

/// Numbers that a seed determines (SplitMix64).
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }
}

pub(crate) fn usage(kind: Kind, units: u32) -> Usage {
    Usage {
        kind,
        operation: Operation::Chat,
        unit_class: UnitClass::Tokens,
        quality: Quality::Counted,
        status: 200,
        timestamp: 1,
        account: AccountPseudonym(1),
        route: RouteId(1),
        total_ms: 1,
        first_byte_ms: 1,
        input_units: units,
        output_units: 0,
    }
}

/// One start of one gateway.
struct Gateway {
    outbox: Arc<Outbox>,
    permits: Vec<(Permit, bool)>,
    connection: Option<usize>,
}

/// One connection; each end lives for itself.
struct Connection {
    instance: InstanceId,
    courier: Courier,
    /// On the way to control.
    up: VecDeque<u8>,
    /// On the way to the gateway.
    down: VecDeque<u8>,
    control: Option<ControlEnd>,
    gateway_decoder: Decoder<Down>,
    /// The gateway has given it up: what is on the way may still arrive.
    given_up: bool,
}

#[derive(Default)]
struct ControlEnd {
    decoder: Decoder<Up>,
    greeted: bool,
    batch: Vec<UsageRecord>,
    started: u64,
}

pub(crate) struct World<L> {
    rng: Rng,
    ledger: L,
    mutation: Mutation,
    gateways: Vec<Gateway>,
    connections: Vec<Connection>,
    /// Everything that each start has recorded, in order, and how much of it was acknowledged.
    told: BTreeMap<InstanceId, Vec<Usage>>,
    acknowledged: BTreeMap<InstanceId, u64>,
    /// Of dead starts: requests that had begun and left no last record in the ledger at most.
    lost_at_most: BTreeMap<InstanceId, u64>,
    /// The most requests begun that control has been told of in something that it committed.
    heard: BTreeMap<InstanceId, u64>,
    units: u32,
    starts: u8,
    statistics: Statistics,
}

impl<L: Ledger> World<L> {
    pub(crate) fn new(seed: u64, ledger: L, mutation: Mutation) -> Self {
        let mut world = Self {
            rng: Rng::new(seed),
            ledger,
            mutation,
            gateways: Vec::new(),
            connections: Vec::new(),
            told: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            lost_at_most: BTreeMap::new(),
            heard: BTreeMap::new(),
            units: 0,
            starts: 0,
            statistics: Statistics::default(),
        };
        for _ in 0..GATEWAYS {
            let gateway = world.start();
            world.gateways.push(gateway);
        }
        world
    }

    pub(crate) fn run(mut self) -> Result<Statistics, String> {
        for _ in 0..STEPS {
            self.step()?;
        }
        self.calm()?;
        self.check()?;
        Ok(self.statistics)
    }

    fn start(&mut self) -> Gateway {
        self.starts += 1;
        let instance = InstanceId([self.starts; 12]);
        self.told.insert(instance, Vec::new());
        Gateway { outbox: Outbox::new(instance, CAPACITY), permits: Vec::new(), connection: None }
    }

    fn step(&mut self) -> Result<(), String> {
        let gateway = self.rng.index(GATEWAYS);
        match self.rng.below(100) {
            0..18 => self.begin(gateway),
            18..24 => self.reserve(gateway),
            24..42 => self.finish(gateway),
            42..58 => self.send(gateway),
            58..74 => self.arrive_up()?,
            74..86 => self.book()?,
            86..93 => self.arrive_down(gateway)?,
            93..97 => self.cut(gateway),
            97..98 => self.crash_control(),
            _ => self.crash_gateway(gateway),
        }
        Ok(())
    }

    fn begin(&mut self, gateway: usize) {
        let strict = self.rng.below(2) == 0;
        let Gateway { outbox, permits, .. } = &mut self.gateways[gateway];
        let permit = if strict { outbox.try_reserve_strict() } else { outbox.try_reserve() };
        permits.extend(permit.map(|permit| (permit, false)));
    }

    /// A usage unlike every other, noted as told.
    fn tell(&mut self, gateway: usize, kind: Kind) -> Usage {
        self.units += 1;
        let usage = usage(kind, self.units);
        let instance = self.gateways[gateway].outbox.instance();
        self.told.get_mut(&instance).unwrap().push(usage);
        self.statistics.records += 1;
        usage
    }

    fn reserve(&mut self, gateway: usize) {
        let Some(at) = self.gateways[gateway].permits.iter().position(|(_, reserved)| !reserved) else { return };
        let probe = usage(Kind::Reserve, self.units + 1);
        if self.gateways[gateway].permits[at].0.reserve(&probe).is_some() {
            self.tell(gateway, Kind::Reserve);
            self.gateways[gateway].permits[at].1 = true;
        }
    }

    fn finish(&mut self, gateway: usize) {
        if self.gateways[gateway].permits.is_empty() {
            return;
        }
        let at = self.rng.index(self.gateways[gateway].permits.len());
        let (permit, reserved) = self.gateways[gateway].permits.swap_remove(at);
        let usage = self.tell(gateway, if reserved { Kind::Settle } else { Kind::Charge });
        permit.record(&usage);
    }

    /// Writes what there is to say, on a new connection if there is none.
    fn send(&mut self, gateway: usize) {
        let Gateway { outbox, connection, .. } = &mut self.gateways[gateway];
        let number = *connection.get_or_insert_with(|| {
            let mut courier = Courier::new(outbox, 1);
            let mut greeting = Vec::new();
            if self.mutation == Mutation::SendFromTheEnd {
                // Only the hello leaves; the records that should have come with it are skipped.
                courier.load(outbox, false, &mut greeting).unwrap();
                greeting.truncate(HELLO_BYTES);
            }
            self.connections.push(Connection {
                instance: outbox.instance(),
                courier,
                up: greeting.into(),
                down: VecDeque::new(),
                control: Some(ControlEnd::default()),
                gateway_decoder: Decoder::new(),
                given_up: false,
            });
            self.connections.len() - 1
        });
        let beat = self.rng.below(3) == 0;
        let mut bytes = Vec::new();
        let connection = &mut self.connections[number];
        connection.courier.load(outbox, beat, &mut bytes).unwrap();
        connection.up.extend(bytes);
    }

    /// Some bytes arrive at control, of any connection that it still has.
    fn arrive_up(&mut self) -> Result<(), String> {
        let open: Vec<usize> = (0..self.connections.len()).filter(|number| self.connections[*number].control.is_some()).collect();
        if open.is_empty() {
            return Ok(());
        }
        let number = open[self.rng.index(open.len())];
        let most = 1 + self.rng.below(700);
        self.read_up(number, usize::try_from(most).unwrap())
    }

    fn read_up(&mut self, number: usize, most: usize) -> Result<(), String> {
        let Connection { up, control, down, instance, given_up, .. } = &mut self.connections[number];
        let Some(end) = control else { return Ok(()) };
        let count = most.min(up.len());
        if *given_up && count > 0 {
            self.statistics.late += 1;
        }
        let piece: Vec<u8> = up.drain(..count).collect();
        end.decoder.push(&piece);
        while let Some(frame) = end.decoder.next_frame().map_err(|error| error.to_string())? {
            match frame {
                Up::Hello(hello) if !end.greeted && hello.instance == *instance => {
                    end.greeted = true;
                    let mut bytes = Vec::new();
                    Down::Ack { sequence: self.ledger.mark(*instance) }.encode(&mut bytes).unwrap();
                    down.extend(bytes);
                }
                Up::Heartbeat(beat) if end.greeted => {
                    if beat.finished > beat.started {
                        return Err(format!("more over than begun: {beat:?}"));
                    }
                    end.started = beat.started;
                }
                Up::Record(record) if end.greeted => end.batch.push(record),
                _ => return Err("a frame out of its turn".into()),
            }
        }
        // The gateway has given it up, and everything has arrived: control closes it.
        if *given_up && up.is_empty() && end.batch.is_empty() {
            *control = None;
        }
        Ok(())
    }

    /// Control commits what one connection has brought, and acknowledges it, unless it dies in between.
    fn book(&mut self) -> Result<(), String> {
        let ready = |connection: &Connection| connection.control.as_ref().is_some_and(|end| !end.batch.is_empty());
        let full: Vec<usize> = (0..self.connections.len()).filter(|number| ready(&self.connections[*number])).collect();
        if full.is_empty() {
            return Ok(());
        }
        let number = full[self.rng.index(full.len())];
        let dies = self.rng.below(25) == 0;
        self.commit(number, dies)
    }

    fn commit(&mut self, number: usize, dies: bool) -> Result<(), String> {
        let Connection { instance, control, down, .. } = &mut self.connections[number];
        let Some(end) = control else { return Ok(()) };
        let batch: Vec<Delivery> = end.batch.drain(..).map(Delivery::Keep).collect();
        let Some(Delivery::Keep(last)) = batch.last() else { return Ok(()) };
        if self.mutation == Mutation::AcknowledgeFirst {
            let mut bytes = Vec::new();
            Down::Ack { sequence: last.sequence() }.encode(&mut bytes).unwrap();
            down.extend(bytes);
            if dies {
                self.crash_control();
                return Ok(());
            }
        }
        let delivered =
            self.ledger.deliver(*instance, &batch, end.started).map_err(|error| format!("delivery failed: {error:?}"))?;
        self.statistics.duplicates += delivered.duplicates;
        let heard = self.heard.entry(*instance).or_default();
        *heard = end.started.max(*heard);
        if dies {
            self.statistics.lost_acks += 1;
            self.crash_control();
            return Ok(());
        }
        let mut bytes = Vec::new();
        Down::Ack { sequence: delivered.mark }.encode(&mut bytes).unwrap();
        down.extend(bytes);
        Ok(())
    }

    /// Some bytes arrive at a gateway.
    fn arrive_down(&mut self, gateway: usize) -> Result<(), String> {
        let most = usize::try_from(1 + self.rng.below(40)).unwrap();
        self.read_down(gateway, most)
    }

    fn read_down(&mut self, gateway: usize, most: usize) -> Result<(), String> {
        let Gateway { outbox, connection: Some(number), .. } = &self.gateways[gateway] else { return Ok(()) };
        let connection = &mut self.connections[*number];
        let count = most.min(connection.down.len());
        let piece: Vec<u8> = connection.down.drain(..count).collect();
        connection.gateway_decoder.push(&piece);
        while let Some(frame) = connection.gateway_decoder.next_frame().map_err(|error| error.to_string())? {
            let Down::Ack { sequence } = frame else { return Err("not an acknowledgement".into()) };
            outbox.ack(sequence).map_err(|_| "acknowledged what was never sent".to_owned())?;
        }
        let noted = self.acknowledged.entry(outbox.instance()).or_default();
        *noted = outbox.acknowledged().max(*noted);
        Ok(())
    }

    /// The gateway gives its connection up. A part of what is on the way is lost, the rest arrives late or never.
    fn cut(&mut self, gateway: usize) {
        let Some(number) = self.gateways[gateway].connection.take() else { return };
        self.statistics.cuts += 1;
        let left = self.rng.index(self.connections[number].up.len() + 1);
        let connection = &mut self.connections[number];
        connection.given_up = true;
        connection.down.clear();
        connection.up.truncate(left);
    }

    /// Every connection ends, and what was not committed is gone.
    fn crash_control(&mut self) {
        self.statistics.control_crashes += 1;
        for connection in &mut self.connections {
            connection.control = None;
            connection.up.clear();
            // Acknowledgements that have left may still arrive before the end does.
        }
        for gateway in &mut self.gateways {
            if self.rng.below(2) == 0 {
                gateway.connection = None;
            }
        }
    }

    /// The gateway dies with everything that it holds. Another start takes its place.
    fn crash_gateway(&mut self, gateway: usize) {
        self.statistics.gateway_crashes += 1;
        self.cut(gateway);
        let outbox = &self.gateways[gateway].outbox;
        self.lost_at_most.insert(outbox.instance(), outbox.beat().started);
        self.gateways[gateway] = self.start();
    }

    /// No more faults: everything that a living gateway has to say arrives.
    fn calm(&mut self) -> Result<(), String> {
        for _ in 0..CALM {
            for gateway in 0..GATEWAYS {
                while !self.gateways[gateway].permits.is_empty() {
                    self.finish(gateway);
                }
                if let Some(number) = self.gateways[gateway].connection
                    && self.connections[number].control.is_none()
                {
                    self.read_down(gateway, usize::MAX)?;
                    self.gateways[gateway].connection = None;
                }
                self.send(gateway);
            }
            for number in 0..self.connections.len() {
                self.read_up(number, usize::MAX)?;
                self.commit(number, false)?;
            }
            for gateway in 0..GATEWAYS {
                self.read_down(gateway, usize::MAX)?;
            }
            if self.gateways.iter().all(|gateway| gateway.outbox.pending() == 0) {
                return Ok(());
            }
        }
        Err("what a living gateway has to say does not arrive".into())
    }

    fn check(&mut self) -> Result<(), String> {
        let rows = self.ledger.rows();
        for (instance, told) in &self.told {
            let mark = self.ledger.mark(*instance);
            // Every record is unlike every other: its number says whose it is.
            let kept: Vec<Usage> = rows.iter().filter(|row| told.contains(row)).copied().collect();
            let prefix = &told[..usize::try_from(mark).unwrap().min(told.len())];
            if kept != prefix {
                return Err(format!("{instance:?}: {} rows for {mark} of {} records", kept.len(), told.len()));
            }
            let acknowledged = self.acknowledged.get(instance).copied().unwrap_or(0);
            if acknowledged > mark {
                return Err(format!("{instance:?}: {acknowledged} acknowledged, {mark} committed"));
            }
            let (owed, over) =
                (self.ledger.owed(*instance), prefix.iter().filter(|usage| usage.kind != Kind::Reserve).count() as u64);
            let heard = self.heard.get(instance).copied().unwrap_or(0);
            // As many as control was told of, exactly; and never more than there were.
            if owed != heard.saturating_sub(over) {
                return Err(format!("{instance:?}: {owed} owed, {heard} begun, {over} over"));
            }
            match self.lost_at_most.get(instance) {
                Some(begun) if owed + over > *begun => {
                    return Err(format!("{instance:?}: {owed} owed of {begun} begun, {over} over"));
                }
                Some(_) => self.statistics.unaccounted += owed,
                None if mark != told.len() as u64 || owed != 0 => {
                    return Err(format!("{instance:?} lives: {mark} of {} records, {owed} owed", told.len()));
                }
                None => {}
            }
        }
        let all: usize = self.told.keys().map(|instance| usize::try_from(self.ledger.mark(*instance)).unwrap()).sum();
        if rows.len() != all { Err(format!("{} rows, {all} records", rows.len())) } else { Ok(()) }
    }
}
