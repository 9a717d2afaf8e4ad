#include "vmm/firmware/acpi_devices.h"

#include "absl/strings/str_format.h"
#include "devices/pc/acpi_pm.h"
#include "vmm/firmware/aml.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

constexpr uint16_t kKeyboardDataPort = 0x60;
constexpr uint16_t kKeyboardCommandPort = 0x64;
constexpr uint32_t kKeyboardIrq = 1;
constexpr uint16_t kRtcPort = 0x70;
constexpr uint8_t kRtcPortCount = 2;

TableBytes PowerOffState() {
  // SLP_TYP of PM1a and of PM1b, which is not there, and two reserved values (7.4.2).
  return aml::Name("\\_S5", aml::Package({aml::Integer(AcpiPm::kSoftOffType), aml::Integer(0),
                                          aml::Integer(0), aml::Integer(0)}));
}

TableBytes Processor(uint32_t uid) {
  return aml::Device(absl::StrFormat("C%03X", uid), {aml::Name("_HID", aml::String("ACPI0007")),
                                                     aml::Name("_UID", aml::Integer(uid))});
}

TableBytes SerialPort() {
  return aml::Device("COM1",
                     {aml::Name("_HID", aml::EisaId("PNP0501")), aml::Name("_UID", aml::Integer(0)),
                      aml::Name("_CRS", aml::Resources({aml::IoPorts(kSerialPort, kSerialPortCount),
                                                        aml::IsaInterrupt(kSerialIrq)}))});
}

TableBytes KeyboardController() {
  return aml::Device("PS2K",
                     {aml::Name("_HID", aml::EisaId("PNP0303")),
                      aml::Name("_CRS", aml::Resources({aml::IoPorts(kKeyboardDataPort, 1),
                                                        aml::IoPorts(kKeyboardCommandPort, 1),
                                                        aml::IsaInterrupt(kKeyboardIrq)}))});
}

TableBytes RealTimeClock() {
  return aml::Device("RTC",
                     {aml::Name("_HID", aml::EisaId("PNP0B00")),
                      aml::Name("_CRS", aml::Resources({aml::IoPorts(kRtcPort, kRtcPortCount)}))});
}

// "LNRO0005" is the name by which Linux and others know a virtio-mmio device.
TableBytes VirtioDevice(uint32_t number, const BootInfoDevice& device) {
  aml::Terms resources = {
      aml::FixedMemory(static_cast<uint32_t>(device.base), static_cast<uint32_t>(device.size))};
  if (device.irq != 0) resources.push_back(aml::EdgeInterrupt(device.irq));
  return aml::Device(
      absl::StrFormat("VR%02X", number),
      {aml::Name("_HID", aml::String("LNRO0005")), aml::Name("_UID", aml::Integer(number)),
       aml::Name("_CCA", aml::Integer(1)), aml::Name("_CRS", aml::Resources(resources))});
}

}  // namespace

TableBytes MakeAcpiDevices(const MachineFacts& facts) {
  aml::Terms devices;
  for (uint32_t cpu = 0; cpu < facts.cpus; ++cpu) devices.push_back(Processor(cpu));
  devices.push_back(SerialPort());
  devices.push_back(KeyboardController());
  devices.push_back(RealTimeClock());
  for (uint32_t i = 0; i < facts.devices.size(); ++i) {
    if (facts.devices[i].kind != DeviceKind::kVirtioMmio) continue;
    devices.push_back(VirtioDevice(i, facts.devices[i]));
  }
  TableBytes all = PowerOffState();
  AppendBytes(all, aml::Scope("\\_SB", devices));
  return all;
}

}  // namespace vmwire
