#pragma once

#include <arm_neon.h>
