#include "devices/pc/cmos_rtc.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace vmwire {
namespace {

enum Cell : uint8_t {
  kSeconds = 0x00,
  kMinutes = 0x02,
  kHours = 0x04,
  kWeekday = 0x06,
  kDay = 0x07,
  kMonth = 0x08,
  kYear = 0x09,
  kStatusA = 0x0a,
  kStatusB = 0x0b,
  kStatusC = 0x0c,
  kStatusD = 0x0d,
  kChecksummed = 0x10,
  kEquipment = 0x14,
  kBaseMemory = 0x15,      // In KiB; two bytes, as the next three, low byte first.
  kExtendedMemory = 0x17,  // Above 1 MiB, in KiB.
  kChecksum = 0x2e,        // Of 0x10 to 0x2d, high byte first.
  kExtendedMemoryFound = 0x30,
  kCentury = 0x32,
  kMemoryAbove16M = 0x34,  // In 64 KiB.
  kMemoryAbove4G = 0x5b,   // In 64 KiB; three bytes.
};

constexpr uint8_t kIndexMask = 0x7f;  // Bit 7 is the mask of NMIs, of which there are none.

constexpr uint8_t kUpdateInProgress = 0x80;
constexpr uint8_t kStatusAReset = 0x26;  // The 32,768 Hz crystal, 1,024 Hz.
constexpr uint8_t kSet = 0x80;
constexpr uint8_t kUpdateInterrupt = 0x10;
constexpr uint8_t kBinary = 0x04;
constexpr uint8_t k24Hours = 0x02;
constexpr uint8_t kInterruptRequest = 0x80;
constexpr uint8_t kUpdateEnded = 0x10;
constexpr uint8_t kValidRam = 0x80;
constexpr uint8_t kAfternoon = 0x80;
constexpr uint8_t kHasCoprocessor = 0x02;

constexpr int64_t kNanosecondsInASecond = 1'000'000'000;
constexpr int64_t kUpdateWarning = 244'000;

constexpr RtcTime kLastMoment = {
    .second = 59, .minute = 59, .hour = 23, .day = 31, .month = 12, .year = 9999};

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kUnitAbove16M = 64 * kKiB;

bool IsTime(uint8_t cell) {
  return cell == kSeconds || cell == kMinutes || cell == kHours || cell == kCentury ||
         (cell >= kWeekday && cell <= kYear);
}

// The `unit`s of memory above `start`, at most `most`.
uint64_t MemoryAbove(uint64_t start, uint64_t end, uint64_t unit, uint64_t most) {
  return end <= start ? 0 : std::min((end - start) / unit, most);
}

int64_t FloorDivide(int64_t value, int64_t divisor) {
  return value / divisor - (value % divisor < 0 ? 1 : 0);
}

}  // namespace

CmosRtc::CmosRtc(const PcMemorySizes& memory, WallClock clock) : clock_(std::move(clock)) {
  const MutexLock lock(mutex_);
  now_ = clock_();
  last_seen_second_ = GuestSeconds();
  cells_[kStatusA] = kStatusAReset;
  cells_[kStatusB] = k24Hours;
  cells_[kEquipment] = kHasCoprocessor;
  StoreMemorySizes(memory);
  StoreChecksum();
}

void CmosRtc::StoreMemorySizes(const PcMemorySizes& memory) {
  const auto store = [this](uint8_t cell, size_t bytes, uint64_t value)
                         ABSL_NO_THREAD_SAFETY_ANALYSIS {
                           for (size_t i = 0; i < bytes; ++i)
                             cells_[cell + i] = static_cast<uint8_t>(value >> (8 * i));
                         };
  store(kBaseMemory, 2, std::min<uint64_t>(memory.below_4g / kKiB, 640));
  const uint64_t extended = MemoryAbove(kMiB, memory.below_4g, kKiB, 0xffff);
  store(kExtendedMemory, 2, extended);
  store(kExtendedMemoryFound, 2, extended);
  store(kMemoryAbove16M, 2, MemoryAbove(16 * kMiB, memory.below_4g, kUnitAbove16M, 0xffff));
  store(kMemoryAbove4G, 3, MemoryAbove(0, memory.above_4g, kUnitAbove16M, 0xffffff));
}

void CmosRtc::StoreChecksum() {
  const uint32_t sum =
      std::accumulate(cells_.begin() + kChecksummed, cells_.begin() + kChecksum, uint32_t{0});
  cells_[kChecksum] = static_cast<uint8_t>(sum >> 8);
  cells_[kChecksum + 1] = static_cast<uint8_t>(sum);
}

uint8_t CmosRtc::ReadByte(uint64_t offset) {
  return offset == kDataOffset ? ReadCell(index_) : 0xff;
}

void CmosRtc::WriteByte(uint64_t offset, uint8_t value) {
  if (offset == kIndexOffset) index_ = value & kIndexMask;
  if (offset == kDataOffset) WriteCell(index_, value);
}

uint8_t CmosRtc::ReadCell(uint8_t index) {
  if (IsTime(index)) return ReadTime(index);
  switch (index) {
    case kStatusA:
      return ReadStatusA();
    case kStatusC:
      return ReadStatusC();
    case kStatusD:
      return kValidRam;
    default:
      return cells_[index];
  }
}

void CmosRtc::WriteCell(uint8_t index, uint8_t value) {
  if (IsTime(index)) return WriteTime(index, value);
  switch (index) {
    case kStatusA:
      cells_[index] = value & static_cast<uint8_t>(~kUpdateInProgress);
      break;
    case kStatusB:
      WriteStatusB(value);
      break;
    case kStatusC:
    case kStatusD:
      break;
    default:
      cells_[index] = value;
      break;
  }
}

uint8_t CmosRtc::ReadStatusA() const {
  const int64_t rest = now_ % kNanosecondsInASecond;
  const int64_t into_second = rest < 0 ? rest + kNanosecondsInASecond : rest;
  const bool soon = into_second >= kNanosecondsInASecond - kUpdateWarning;
  return static_cast<uint8_t>(cells_[kStatusA] | (soon && !Has(kSet) ? kUpdateInProgress : 0));
}

void CmosRtc::WriteStatusB(uint8_t value) {
  const RtcTime time = GuestTime();
  const bool was_set = Has(kSet);
  cells_[kStatusB] = value;
  if (Has(kSet) || was_set) SetTime(time);
}

uint8_t CmosRtc::ReadStatusC() {
  const int64_t second = GuestSeconds();
  const bool updated = !Has(kSet) && std::exchange(last_seen_second_, second) != second;
  if (!updated) return 0;
  return static_cast<uint8_t>(kUpdateEnded | (Has(kUpdateInterrupt) ? kInterruptRequest : 0));
}

bool CmosRtc::Has(uint8_t status_b_bit) const { return (cells_[kStatusB] & status_b_bit) != 0; }

int64_t CmosRtc::GuestSeconds() const { return FloorDivide(now_, kNanosecondsInASecond) + offset_; }

RtcTime CmosRtc::GuestTime() const { return Has(kSet) ? halted_ : FromUnixSeconds(GuestSeconds()); }

uint8_t CmosRtc::ReadTime(uint8_t index) const {
  const RtcTime time = GuestTime();
  switch (index) {
    case kSeconds:
      return Encode(time.second);
    case kMinutes:
      return Encode(time.minute);
    case kHours:
      return EncodeHour(time.hour);
    case kWeekday:
      return Encode(time.weekday);
    case kDay:
      return Encode(time.day);
    case kMonth:
      return Encode(time.month);
    case kYear:
      return Encode(time.year % 100);
    default:
      return Encode(time.year / 100);
  }
}

void CmosRtc::WriteTime(uint8_t index, uint8_t value) {
  RtcTime time = GuestTime();
  const uint32_t number = Decode(value);
  switch (index) {
    case kSeconds:
      time.second = number;
      break;
    case kMinutes:
      time.minute = number;
      break;
    case kHours:
      time.hour = DecodeHour(value);
      break;
    case kWeekday:  // It follows from the date.
      break;
    case kDay:
      time.day = number;
      break;
    case kMonth:
      time.month = number;
      break;
    case kYear:
      time.year = time.year / 100 * 100 + number % 100;
      break;
    default:
      time.year = number * 100 + time.year % 100;
      break;
  }
  SetTime(time);
}

void CmosRtc::SetTime(const RtcTime& time) {
  // While SET holds the clock the fields stay as they are written: a date may be none for as long
  // as the guest has not written all of it.
  if (Has(kSet)) {
    halted_ = time;
  } else {
    // Fields that carry may take the date further with each write.
    const int64_t seconds =
        std::clamp(ToUnixSeconds(time), ToUnixSeconds({.year = 0}), ToUnixSeconds(kLastMoment));
    offset_ = seconds - FloorDivide(now_, kNanosecondsInASecond);
    last_seen_second_ = GuestSeconds();
  }
}

uint8_t CmosRtc::Encode(uint32_t value) const {
  return Has(kBinary) ? static_cast<uint8_t>(value) : ToBcd(value);
}

uint32_t CmosRtc::Decode(uint8_t value) const { return Has(kBinary) ? value : FromBcd(value); }

uint8_t CmosRtc::EncodeHour(uint32_t hour) const {
  if (Has(k24Hours)) return Encode(hour);
  const uint8_t twelfth = Encode(hour % 12 == 0 ? 12 : hour % 12);
  return hour / 12 % 2 == 1 ? twelfth | kAfternoon : twelfth;
}

uint32_t CmosRtc::DecodeHour(uint8_t value) const {
  if (Has(k24Hours)) return Decode(value);
  const uint32_t hour = Decode(value & static_cast<uint8_t>(~kAfternoon)) % 12;
  return (value & kAfternoon) != 0 ? hour + 12 : hour;
}

}  // namespace vmwire
