// The receiver of a 16550A: sixteen bytes, or one with the FIFOs off.
//
// Invariants: size() <= capacity().
// Thread safety: none; its owner's lock guards it.
#ifndef VMWIRE_DEVICES_SERIAL_RECEIVE_FIFO_H_
#define VMWIRE_DEVICES_SERIAL_RECEIVE_FIFO_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace vmwire {

class ReceiveFifo {
 public:
  static constexpr size_t kSize = 16;

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  size_t capacity() const { return fifo_ ? kSize : 1; }
  bool full() const { return size_ == capacity(); }

  // Turning the FIFOs off clears it (PC16550D, 8.4, bit 0); turning them on does not, which is a
  // simplification of the port's.
  void SetFifo(bool fifo) {
    if (!fifo && fifo_) Clear();
    fifo_ = fifo;
  }
  bool fifo() const { return fifo_; }

  // False: it was full, which is an overrun. The byte is lost with the FIFOs on, and stands in the
  // place of the last one with them off (PC16550D, 8.3, bit 1).
  bool Push(uint8_t value) {
    if (full()) {
      if (!fifo_) bytes_[start_] = value;
      return false;
    }
    bytes_[(start_ + size_) % kSize] = value;
    ++size_;
    return true;
  }

  // The oldest byte. Again the one before it if there is none, as from a register.
  uint8_t Pop() {
    if (empty()) return last_;
    last_ = bytes_[start_];
    start_ = (start_ + 1) % kSize;
    --size_;
    return last_;
  }

  void Clear() { size_ = 0; }

 private:
  std::array<uint8_t, kSize> bytes_ = {};
  size_t start_ = 0;
  size_t size_ = 0;
  uint8_t last_ = 0;
  bool fifo_ = false;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_SERIAL_RECEIVE_FIFO_H_
