// Looks into a BootPlan as a guest would into its memory, for tests.
//
// Thread safety: values.
#ifndef VMWIRE_TESTS_VMM_BOOT_PLAN_VIEW_H_
#define VMWIRE_TESTS_VMM_BOOT_PLAN_VIEW_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "vmm/boot/boot_plan.h"

namespace vmwire {

class PlanView {
 public:
  explicit PlanView(const BootPlan& plan) : plan_(plan) {}

  // The object at `address`; fails the test if no block of the plan holds it.
  template <typename T>
  T At(uint64_t address) const {
    T value = {};
    const std::byte* bytes = Find(address, sizeof(T));
    if (bytes != nullptr) std::memcpy(&value, bytes, sizeof(T));
    return value;
  }

  uint32_t Word(uint64_t address) const { return At<uint32_t>(address); }

  // The text from `address` to the zero that ends it.
  std::string TextAt(uint64_t address) const {
    std::string text;
    for (char c = At<char>(address); c != '\0'; c = At<char>(++address)) text += c;
    return text;
  }

  // The block that begins at `address`; null if there is none.
  const BootBlock* BlockAt(uint64_t address) const {
    for (const BootBlock& block : plan_.blocks) {
      if (block.address.value() == address) return &block;
    }
    return nullptr;
  }

 private:
  const std::byte* Find(uint64_t address, uint64_t size) const {
    for (const BootBlock& block : plan_.blocks) {
      if (block.address.value() <= address && address + size <= block.end().value()) {
        return block.bytes.data() + (address - block.address.value());
      }
    }
    ADD_FAILURE() << "nothing at 0x" << std::hex << address;
    return nullptr;
  }

  const BootPlan& plan_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_VMM_BOOT_PLAN_VIEW_H_
