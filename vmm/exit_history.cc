#include "vmm/exit_history.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_format.h"
#include "vmm/exit_reason.h"

namespace vmwire {
namespace {

// The first of `bytes`, 8 at most, as a little-endian number.
uint64_t ValueOf(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  if (!bytes.empty()) std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof(value)));
  return value;
}

void TakePortAccess(const kvm_run& run, std::span<const std::byte> page, ExitRecord& record) {
  record.is_write = run.io.direction == KVM_EXIT_IO_OUT;
  record.size = run.io.size;
  record.repeats = run.io.count;
  record.address = run.io.port;
  record.has_value =
      run.io.data_offset <= page.size() && run.io.size <= page.size() - run.io.data_offset;
  if (record.has_value) record.value = ValueOf(page.subspan(run.io.data_offset, run.io.size));
}

void TakeMmio(const kvm_run& run, ExitRecord& record) {
  const auto bytes = std::as_bytes(std::span(run.mmio.data));
  record.is_write = run.mmio.is_write != 0;
  record.size = run.mmio.len;
  record.repeats = 1;
  record.address = run.mmio.phys_addr;
  record.value = ValueOf(bytes.first(std::min<size_t>(run.mmio.len, bytes.size())));
}

std::string Line(const ExitRecord& record) {
  const std::string times = record.count > 1 ? absl::StrFormat(" x%d", record.count) : "";
  std::string line =
      absl::StrFormat("    %d%s  %s", record.first, times, ExitReasonName(record.reason));
  if (record.reason != KVM_EXIT_IO && record.reason != KVM_EXIT_MMIO) return line + "\n";
  if (record.reason == KVM_EXIT_IO) {
    absl::StrAppendFormat(&line, "  %s port", record.is_write ? "out" : "in");
  } else {
    absl::StrAppendFormat(&line, "  %s", record.is_write ? "write" : "read");
  }
  absl::StrAppendFormat(&line, " 0x%x, %d byte%s", record.address, record.size,
                        record.size == 1 ? "" : "s");
  if (record.repeats != 1) absl::StrAppendFormat(&line, " x %d", record.repeats);
  if (record.has_value) absl::StrAppendFormat(&line, ": 0x%x", record.value);
  return line + "\n";
}

}  // namespace

void ExitHistory::Add(const kvm_run& run, std::span<const std::byte> page) {
  ExitRecord record;
  record.reason = run.exit_reason;
  if (run.exit_reason == KVM_EXIT_IO) {
    TakePortAccess(run, page, record);
  } else if (run.exit_reason == KVM_EXIT_MMIO) {
    TakeMmio(run, record);
  }
  ++total_;
  ExitRecord& newest = ring_[newest_];
  record.first = newest.first;
  record.count = newest.count;
  if (newest.count != 0 && record == newest) {
    ++newest.count;
    return;
  }
  record.first = total_;
  record.count = 1;
  newest_ = (newest_ + 1) % kExitHistorySize;
  ring_[newest_] = record;
}

std::vector<ExitRecord> ExitHistory::Records() const {
  std::vector<ExitRecord> records;
  for (size_t i = 1; i <= kExitHistorySize; ++i) {
    const ExitRecord& record = ring_[(newest_ + i) % kExitHistorySize];
    if (record.count != 0) records.push_back(record);
  }
  return records;
}

std::string ExitHistory::ToString() const {
  if (total_ == 0) return "  no exits\n";
  std::string text = absl::StrFormat("  last exits, of %d:\n", total_);
  for (const ExitRecord& record : Records()) text += Line(record);
  return text;
}

}  // namespace vmwire
