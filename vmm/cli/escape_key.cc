#include "vmm/cli/escape_key.h"

namespace vmwire {
namespace {

constexpr std::byte kControlA{0x01};

}  // namespace

std::vector<std::byte> EscapeKey::Filter(std::span<const std::byte> typed) {
  std::vector<std::byte> for_guest;
  for_guest.reserve(typed.size());
  for (const std::byte key : typed) {
    if (!is_escaped_) {
      is_escaped_ = key == kControlA;
      if (!is_escaped_) for_guest.push_back(key);
      continue;
    }
    is_escaped_ = false;
    if (key == kControlA) {
      for_guest.push_back(key);
    } else if (key == std::byte{'x'}) {
      end_();
    } else if (key == std::byte{'h'} || key == std::byte{'?'}) {
      help_();
    }
  }
  return for_guest;
}

}  // namespace vmwire
