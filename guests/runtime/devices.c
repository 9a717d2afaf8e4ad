#include "guests/runtime/vmwire_guest.h"

// What lies behind the ranges.
struct device_table {
  uint64_t count;
  struct vmwire_device devices[];
} __attribute__((packed));

static const struct device_table* device_table(const struct vmwire_boot_info* info) {
  return (const struct device_table*)(const void*)&info->ranges[info->range_count];
}

uint64_t guest_device_count(const struct vmwire_boot_info* info) {
  return device_table(info)->count;
}

const struct vmwire_device* guest_device(const struct vmwire_boot_info* info, uint32_t kind,
                                         uint32_t index) {
  const struct device_table* const table = device_table(info);
  for (uint64_t i = 0; i < table->count; ++i) {
    if (table->devices[i].kind != kind) continue;
    if (index == 0) return &table->devices[i];
    --index;
  }
  return 0;
}
