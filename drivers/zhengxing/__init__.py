"""Zhengxing (Henan; Censtar classic) dispensers on a current loop. Experimental: see docs/devices/zhengxing.md."""
