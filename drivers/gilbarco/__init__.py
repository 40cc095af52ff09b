"""Gilbarco Two-Wire: the 45 mA current loop of Gilbarco pumps and of makers that copied it."""
