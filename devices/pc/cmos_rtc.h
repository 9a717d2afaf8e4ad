// The battery-backed memory of a PC and the real-time clock in it, an MC146818: port 0x70 (offset
// 0) selects a byte, port 0x71 (offset 1) is that byte.
//
//   0x00..0x09, 0x32  time, date and century, in the form that status B asks for
//   0x0a..0x0d        status A to D
//   0x15..0x18, 0x30, 0x31, 0x34, 0x35, 0x5b..0x5d   how much memory there is
//   the rest          memory that the guest may use (0x0f: the shutdown byte)
//
// The clock is that of the host until the guest sets it; then it runs on from there, for this guest
// alone. There is no interrupt: alarms and periodic flags never come; the update flag in status C
// does, for who polls.
//
// Invariants: what is read between two moments at which status A showed no update in progress, less
// than 244 us apart, is of one second (MC146818 data sheet, "Update cycle"). No value that a guest
// writes makes a conversion fail. A date that the guest sets lies within the years 0 to 9999.
// Thread safety: thread-safe; the clock is called under the lock.
#ifndef VMWIRE_DEVICES_PC_CMOS_RTC_H_
#define VMWIRE_DEVICES_PC_CMOS_RTC_H_

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "devices/pc/byte_device.h"
#include "devices/pc/rtc_time.h"

namespace vmwire {

// Nanoseconds since the start of 1970, UTC.
using WallClock = std::function<int64_t()>;

// In bytes.
struct PcMemorySizes {
  uint64_t below_4g = 0;  // From address 0 on.
  uint64_t above_4g = 0;  // From 4 GiB on.
};

class CmosRtc final : public ByteDevice {
 public:
  static constexpr uint64_t kWindowSize = 2;
  static constexpr uint64_t kIndexOffset = 0;
  static constexpr uint64_t kDataOffset = 1;

  CmosRtc(const PcMemorySizes& memory, WallClock clock);

  std::string Name() const override { return "CMOS and RTC"; }

 protected:
  void BeginAccess() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { now_ = clock_(); }
  // The index is write-only, as on a PC: it reads all ones.
  uint8_t ReadByte(uint64_t offset) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteByte(uint64_t offset, uint8_t value) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

 private:
  static constexpr size_t kSize = 128;

  void StoreMemorySizes(const PcMemorySizes& memory) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StoreChecksum() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  uint8_t ReadCell(uint8_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteCell(uint8_t index, uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t ReadStatusA() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteStatusB(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t ReadStatusC() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  bool Has(uint8_t status_b_bit) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The second that the guest's clock shows.
  int64_t GuestSeconds() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  RtcTime GuestTime() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t ReadTime(uint8_t index) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteTime(uint8_t index, uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetTime(const RtcTime& time) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t Encode(uint32_t value) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint32_t Decode(uint8_t value) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t EncodeHour(uint32_t hour) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint32_t DecodeHour(uint8_t value) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const WallClock clock_;
  std::array<uint8_t, kSize> cells_ ABSL_GUARDED_BY(mutex_) = {};
  uint8_t index_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t now_ ABSL_GUARDED_BY(mutex_) = 0;     // At the access at hand.
  int64_t offset_ ABSL_GUARDED_BY(mutex_) = 0;  // The guest's clock less the host's, in s.
  RtcTime halted_ ABSL_GUARDED_BY(mutex_);      // The time, while SET holds the clock.
  int64_t last_seen_second_ ABSL_GUARDED_BY(mutex_) = 0;  // For the update flag.
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_PC_CMOS_RTC_H_
