// The time of day of a real-time clock: a date and a time in the registers' form, and as seconds.
//
// Invariants: conversions never fail, whatever a guest puts into a field: what is too large carries
// into the next field, and a month of 0 is the one before January.
// Thread safety: values.
#ifndef VMWIRE_DEVICES_PC_RTC_TIME_H_
#define VMWIRE_DEVICES_PC_RTC_TIME_H_

#include <cstdint>

namespace vmwire {

struct RtcTime {
  uint32_t second = 0;
  uint32_t minute = 0;
  uint32_t hour = 0;
  uint32_t weekday = 1;  // 1: Sunday. Not looked at by ToUnixSeconds.
  uint32_t day = 1;
  uint32_t month = 1;
  uint32_t year = 1970;

  friend bool operator==(const RtcTime&, const RtcTime&) = default;
};

// Seconds since the start of 1970, UTC. REQUIRES: the fields are below 32768.
int64_t ToUnixSeconds(const RtcTime& time);
// REQUIRES: the year lies within 0 and 32767.
RtcTime FromUnixSeconds(int64_t seconds);

// A number in packed decimal digits, the two lowest, and back. A digit above nine counts as such.
constexpr uint8_t ToBcd(uint32_t value) {
  return static_cast<uint8_t>(value / 10 % 10 << 4 | value % 10);
}
constexpr uint32_t FromBcd(uint8_t value) { return uint32_t{value} / 16 * 10 + value % 16; }

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_PC_RTC_TIME_H_
