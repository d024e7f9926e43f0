#include "common/wire/message.h"

namespace tarn::wire {

Text make_text(std::string_view text) {
  Text made;
  for (const char c : text.substr(0, kTextBytesMax))
    made.push_back(c);
  return made;
}

}  // namespace tarn::wire
