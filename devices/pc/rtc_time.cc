#include "devices/pc/rtc_time.h"

#include <chrono>

namespace vmwire {

int64_t ToUnixSeconds(const RtcTime& time) {
  const auto first_of_month =
      std::chrono::year(static_cast<int>(time.year)) / std::chrono::January / 1 +
      std::chrono::months(static_cast<int>(time.month) - 1);
  const std::chrono::sys_seconds moment =
      std::chrono::sys_days(first_of_month) + std::chrono::days(static_cast<int>(time.day) - 1) +
      std::chrono::hours(time.hour) + std::chrono::minutes(time.minute) +
      std::chrono::seconds(time.second);
  return moment.time_since_epoch().count();
}

RtcTime FromUnixSeconds(int64_t seconds) {
  const std::chrono::sys_seconds moment{std::chrono::seconds(seconds)};
  const auto midnight = std::chrono::floor<std::chrono::days>(moment);
  const std::chrono::year_month_day date(midnight);
  const std::chrono::hh_mm_ss time(moment - midnight);
  return {.second = static_cast<uint32_t>(time.seconds().count()),
          .minute = static_cast<uint32_t>(time.minutes().count()),
          .hour = static_cast<uint32_t>(time.hours().count()),
          .weekday = std::chrono::weekday(midnight).c_encoding() + 1,
          .day = static_cast<unsigned>(date.day()),
          .month = static_cast<unsigned>(date.month()),
          .year = static_cast<uint32_t>(static_cast<int>(date.year()))};
}

}  // namespace vmwire
